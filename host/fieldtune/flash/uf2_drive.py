"""A board's BOOTSEL drive: waiting for it, copying to it."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from fieldtune.boards import Board
from fieldtune.console import Console
from fieldtune.errors import DataLost, TimedOut

CHUNK_BYTES = 16384
POLL_SECONDS = 0.1
LABELS = Path("/dev/disk/by-label")


def wait_for(find: Callable[[], Path | None], board: Board, timeout: float) -> Path:
    """The drive as soon as `find` sees it. Raises TimedOut that says how to mount it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        drive = find()
        if drive:
            return drive
        time.sleep(POLL_SECONDS)
    label = LABELS / board.usb.drive
    if label.exists():
        raise TimedOut(
            f"the drive {board.usb.drive} is there but not mounted",
            "this machine does not mount drives by itself",
            f"udisksctl mount -b {os.path.realpath(label)}, then host flash again",
        )
    raise TimedOut(
        f"no drive {board.usb.drive} appeared within {timeout:g} s",
        "the board did not go into BOOTSEL",
        "hold BOOTSEL while plugging it in, then host flash again",
    )


def copy(content: bytes, drive: Path, console: Console) -> None:
    """Writes a UF2 file to the drive. Raises DataLost when the drive goes too early."""
    try:
        with (
            open(drive / "firmware.uf2", "wb", buffering=0) as file,
            console.progress(len(content), "copying") as progress,
        ):
            for start in range(0, len(content), CHUNK_BYTES):
                chunk = content[start : start + CHUNK_BYTES]
                file.write(chunk)
                progress.update(len(chunk))
            _sync(file.fileno())
    except OSError as error:
        raise DataLost(
            f"the drive {drive} went away while it was written", error.strerror or str(error)
        ) from error


def _sync(fd: int) -> None:
    """Until the drive has everything. It goes with the last block, which may show here."""
    try:
        os.fsync(fd)
    except OSError:
        return
