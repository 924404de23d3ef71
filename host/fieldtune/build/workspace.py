"""Folders that appear whole or not at all, locks, and commands whose output goes to a log."""

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from fieldtune import tree
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError
from fieldtune.text import printable

_TAIL = 12  # lines of a log that an error shows


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns a full or read-only disk into a FieldtuneError that says so."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            raise
        raise FieldtuneError(
            f"cannot write below {folder}",
            (error.strerror or str(error)).lower(),
            _make_room(),
        ) from error


def _make_room() -> str:
    return (
        f"make room (a build takes 400 MB), delete {tree.cache()}, "
        "or point FIELDTUNE_CACHE to another disk"
    )


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `final` when the block ends well and vanishes otherwise.

    The caller holds a lock: what an interrupted run left is deleted first.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """An empty folder for the time of the block; the caller holds a lock."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Lock:
    """One holder of a name at a time; commands that `run` starts under it hold it too."""

    def __init__(self, name: str, console: Console):
        self.path = tree.cache() / f"{name}.lock"
        self.name, self.console = name, console

    def __enter__(self) -> "Lock":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.console.info(f"waiting for another fieldtune that is at work on {self.name}")
            fcntl.flock(self.fd, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_exc) -> None:
        os.close(self.fd)


def run(
    command: Sequence[str | Path],
    what: str,
    log: Path,
    lock: Lock,
    env: Mapping[str, str],
    cwd: Path | None = None,
) -> None:
    """Runs `command` with its output appended to `log`. Raises FieldtuneError with its last lines.

    `what` completes "... failed". The command keeps `lock` even when this process is killed, so
    that nobody builds in its folder while it still runs.
    """
    with log.open("ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            pass_fds=(lock.fd,),
        )
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
        full = any("No space left on device" in line for line in lines)
        raise FieldtuneError(
            f"{what} failed",
            "\n".join(printable(line) for line in lines),
            _make_room() if full else f"the whole output is in {log}",
        )
