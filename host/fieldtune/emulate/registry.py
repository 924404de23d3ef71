"""The emulated boards of this user: start, list, find, stop."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fieldtune import boards, tree
from fieldtune.console import Console
from fieldtune.emulate import record, runtime
from fieldtune.emulate.record import EmulatedBoard
from fieldtune.errors import FieldtuneError, UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
STOP_SECONDS = 5.0
READY_SECONDS = 20.0


def running() -> list[EmulatedBoard]:
    """The boards that run, by name."""
    folders = sorted((tree.state() / "emulators").glob("*/board.json"))
    boards_ = (record.load(path.parent.name) for path in folders)
    return [board for board in boards_ if board and board.alive]


def start(
    board: str,
    name: str | None = None,
    fresh: bool = False,
    image: Path | None = None,
    console: Console | None = None,
) -> EmulatedBoard:
    """The emulated board `name` (default: the board's own name), started if it does not run.

    A new one, or one that starts `fresh`, has `image` in its flash (default: the board's image,
    built if need be); otherwise its flash is as it was left.
    Raises UsageError for a board without an emulator, or a name that another kind of board has.
    """
    kind = boards.load(board)
    name = name or board
    if kind.emulator is None:
        raise UsageError(f"{kind.title} has no emulator")
    if not NAME.fullmatch(name):
        raise UsageError(f"not a name for a board: {name!r}", "a-z, 0-9, - and _ are allowed")
    folder = record.folder(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _starting(folder):
        known = record.load(name)
        if known and known.board != board:
            raise UsageError(
                f"{name} is the name of an emulated {known.board}", do="choose another --name"
            )
        if known and known.alive:
            if not fresh:
                return known
            stop(known)
        emulated = known or EmulatedBoard(name, board, serial=os.urandom(8).hex())
        if kind.emulator == "rp2040js":
            runtime.prepare()
        _load_image(emulated, kind, fresh, image, console or Console())
        emulated.save()
        _launch(emulated)
    return record.load(name)


def stop(board: EmulatedBoard) -> None:
    """Ends the board's process; its flash stays. Raises FieldtuneError if it will not end."""
    deadline = time.monotonic() + STOP_SECONDS
    if board.alive:
        os.kill(board.pid, signal.SIGTERM)
    while board.alive:
        if time.monotonic() > deadline:
            raise FieldtuneError(f"{board.name} does not end", f"process {board.pid} hangs")
        time.sleep(0.02)
    with contextlib.suppress(ChildProcessError):  # only its parent can and has to do this
        os.waitpid(board.pid, os.WNOHANG)


@contextlib.contextmanager
def _starting(folder: Path) -> Iterator[None]:
    """One start at a time."""
    with open(folder / "start.lock", "w", opener=record.private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _load_image(
    emulated: EmulatedBoard, kind: boards.Board, fresh: bool, image: Path | None, console: Console
) -> None:
    """Gives a board what it runs: the simulator the newest program, a new chip its flash."""
    if kind.emulator == "micropython":
        if fresh:
            shutil.rmtree(emulated.files, ignore_errors=True)
        emulated.image = str(image or _image_of(kind, console))
    elif fresh or image or not emulated.flash.exists():
        _program(emulated.flash, kind, image or _image_of(kind, console))


def _image_of(kind: boards.Board, console: Console) -> Path:
    from fieldtune.build import image

    return image.build(kind.name, console).path


def _program(flash: Path, kind: boards.Board, image: Path) -> None:
    """Makes a flash file with a UF2 image in it."""
    from fieldtune import uf2

    data = uf2.load(image, kind)
    content = bytearray(b"\xff" * kind.flash_bytes)
    offset = data.address - kind.uf2.address
    content[offset : offset + len(data.data)] = data.data
    unfinished = flash.with_name("flash.new")
    with open(unfinished, "wb", opener=record.private) as file:
        file.write(content)
    os.replace(unfinished, flash)


def _launch(board: EmulatedBoard) -> None:
    """Starts the keeper and waits until it is ready."""
    ready, theirs = os.pipe()
    folders = {
        "FIELDTUNE_STATE": str(tree.state().absolute()),
        "FIELDTUNE_CACHE": str(tree.cache().absolute()),
    }
    with open(board.log, "w", opener=record.private) as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "fieldtune.emulate.keeper", board.name, str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=board.folder,
            env={**os.environ, **folders},
            pass_fds=[theirs],
            start_new_session=True,
        )
    os.close(theirs)
    with open(ready) as answer:
        if answer.read() != "ready":
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGTERM)
            child.wait(READY_SECONDS)
            last = board.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise FieldtuneError(
                f"the emulated {board.board} did not start", *last, f"see {board.log}"
            )
    child.returncode = 0  # it goes on by itself; no warning about a child left behind
