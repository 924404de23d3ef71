"""Flashing, start to proof. Every kind of board has one function here."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from fieldtune import boards, devices, uf2
from fieldtune.boards import Board
from fieldtune.console import Console
from fieldtune.devices import BOOTSEL, EMULATED, Device
from fieldtune.emulate import record, registry
from fieldtune.errors import TimedOut, UsageError
from fieldtune.flash import bootsel, uf2_drive, verify
from fieldtune.link.repl import Repl

TIMEOUT = 30.0  # seconds for each step that waits for the board
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Flashed:
    """What is on the board now, checked. `crc32` is None where there is no flash (simulator)."""

    board: str
    port: str
    build_id: str  # "" for an image that is none of fieldtune's
    size: int  # bytes of the image
    crc32: int | None


def flash(device: Device, image: Path, console: Console, timeout: float = TIMEOUT) -> Flashed:
    """Puts `image` on the board and proves that it is there and runs.

    Raises UsageError for an image that is not for this board (before anything is written),
    TimedOut, DataLost, or VerificationFailed.
    """
    board = boards.load(device.board)
    if board.flash_method == "uf2":
        return _flash_uf2(device, board, image, console, timeout)
    if board.kind == "simulator":
        return _restart_simulator(device, board, image, console)
    raise UsageError(f"{board.title} cannot be flashed by this program")


def _flash_uf2(
    device: Device, board: Board, path: Path, console: Console, timeout: float
) -> Flashed:
    image = uf2.load(path, board)
    drive = device.drive
    if device.state != BOOTSEL:
        present = devices.drives(board)
        console.info(f"rebooting the board on {device.port} into BOOTSEL")
        bootsel.enter(device, console)
        drive = uf2_drive.wait_for(lambda: _drive(device, board, present), board, timeout)
    ports = {known.port for known in devices.all()}
    uf2_drive.copy(path.read_bytes(), drive, console)
    console.info("copied; waiting for the board")
    port = _wait_for_port(device, ports, timeout)
    with Repl(port, timeout) as repl:
        verify.check_flash(repl, image)
        expected = _build_id_of(path, image)
        if expected:
            verify.check_build_id(repl, expected)
    return Flashed(board.name, port, expected, len(image.data), image.crc32)


def _drive(device: Device, board: Board, present: list[Path]) -> Path | None:
    """The drive that `device` became: an emulated board's own, else the one that is new."""
    if device.kind == EMULATED:
        known = record.load(device.name)
        return known.drive if known and known.state == BOOTSEL else None
    new = [drive for drive in devices.drives(board) if drive not in present]
    return new[0] if new else None


def _wait_for_port(device: Device, before: set[str], timeout: float) -> str:
    """The port of the board after its reboot: the same board's, or one that was not there."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        for found in devices.all():
            running = found.kind == device.kind and found.state == devices.RUNNING
            if running and found.board == device.board:
                if found.name == device.name or found.port not in before:
                    return found.port
        time.sleep(POLL_SECONDS)
    raise TimedOut(
        f"the board did not come back within {timeout:g} s",
        "the image does not start, or the port may not be opened",
        "host devs shows what is present; host flash again with the board in BOOTSEL",
    )


def _build_id_of(path: Path, image: uf2.FlashImage) -> str:
    """The build id that image.json beside the file gives, if it speaks of this very image."""
    try:
        facts = json.loads(path.with_name("image.json").read_text(encoding="utf-8"))
        data = image.data[: facts["size"]]
        known = uf2.FlashImage(image.family, image.address, data)
        return facts["build_id"] if known.crc32 == facts["crc32"] else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _restart_simulator(device: Device, board: Board, image: Path, console: Console) -> Flashed:
    build_id, size = _program_facts(board, image)
    if running := record.load(device.name):
        registry.stop(running)
    console.info(f"restarting {device.name} from {image}")
    started = registry.start(board.name, device.name, image=image, console=console)
    with Repl(str(started.device)) as repl:
        verify.check_build_id(repl, build_id)
    return Flashed(board.name, str(started.device), build_id, size, None)


def _program_facts(board: Board, image: Path) -> tuple[str, int]:
    """Build id and size of a simulator's program, from the image.json beside it."""
    try:
        facts = json.loads(image.with_name("image.json").read_text(encoding="utf-8"))
        if facts["board"] == board.name:
            return facts["build_id"], facts["size"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UsageError(
        f"{image} is no image of the {board.title}",
        "no image.json beside it says so",
        f"host build --board {board.name}",
    )
