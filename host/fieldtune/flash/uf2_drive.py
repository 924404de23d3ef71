"""A board's BOOTSEL drive: where it is mounted, and an image copied to it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fieldtune.boards import Board
from fieldtune.console import Console
from fieldtune.errors import DataLost, TimedOut

INFO = "INFO_UF2.TXT"
CHUNK_BYTES = 16384
POLL_SECONDS = 0.1
LABELS = Path("/dev/disk/by-label")


def mounted(board: Board) -> list[Path]:
    """The mounted drives of this kind of board, told by what is written in INFO_UF2.TXT."""
    return [drive for drive in _mount_points() if _is_of(drive, board)]


def wait_for(find: Callable[[], Path | None], board: Board, timeout: float) -> Path:
    """The drive as soon as `find` sees it. Raises TimedOut that says how to mount it."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        drive = find()
        if drive and (drive / INFO).is_file():
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


def _is_of(drive: Path, board: Board) -> bool:
    try:
        text = (drive / INFO).read_text(errors="replace")
    except OSError:
        return False
    return bool(re.search(rf"^Board-ID: {re.escape(board.usb.drive)}\s*$", text, re.MULTILINE))


def _mount_points() -> list[Path]:
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").iterdir())
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        lines = subprocess.run(["mount"], capture_output=True, text=True).stdout.splitlines()
    # FAT is what the drive has; looking into network mounts could hang.
    rows = [line.split() for line in lines]
    return [
        Path(row[1].encode().decode("unicode_escape"))
        for row in rows
        if len(row) > 2 and row[2] in ("vfat", "msdos")
    ]
