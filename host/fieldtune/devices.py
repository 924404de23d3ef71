"""The boards that are present: plugged in and emulated, running and waiting for an image."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from fieldtune import boards
from fieldtune.emulate import record, registry
from fieldtune.errors import AmbiguousDevice, NoDevice
from fieldtune.text import printable

REAL, EMULATED = "real", "emulated"
RUNNING, BOOTSEL = record.RUNNING, record.BOOTSEL
INFO = "INFO_UF2.TXT"
MOUNTS = Path("/proc/mounts")


@dataclass(frozen=True)
class Device:
    """One board. A real one has no port while it is in BOOTSEL, a running one no drive."""

    board: str  # "" for a port that is not known to be a board's
    kind: str  # "real" or "emulated"
    name: str  # its serial number, or the name it was emulated under
    state: str  # "running", "bootsel", or "halted" (emulated only)
    port: str = ""
    drive: Path | None = None


def all() -> list[Device]:
    """Every board that is present, real ones first."""
    return [*_ports(), *_drives(), *_emulated()]


def find(
    board: str | None = None, port: str | None = None, emulated: bool | None = None
) -> Device:
    """The one board that answers to the description; None stands for any.

    A `port` that exists is taken at its word, listed or not.
    Raises NoDevice, or AmbiguousDevice naming the candidates and the option that picks one.
    """
    if board is not None:
        boards.load(board)
    found = [
        device
        for device in all()
        if (board is None or device.board == board)
        and (emulated is None or (device.kind == EMULATED) == emulated)
        and (port is None or _same(device.port, port))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousDevice(
            "more than one board is present",
            "; ".join(describe(device) for device in found),
            f"--device PORT picks one, as in --device {found[0].port or found[-1].port}",
        )
    if port is not None and os.path.exists(port):
        return Device(board or "", REAL, "", RUNNING, port)
    raise _none(board, port, emulated)


def describe(device: Device) -> str:
    """One line about a device, safe to show."""
    where = device.port or device.drive or ""
    board = device.board or "unknown board"
    return f"{device.kind} {board} {printable(device.name)} {device.state} at {where}"


def _none(board: str | None, port: str | None, emulated: bool | None) -> NoDevice:
    if port is not None:
        return NoDevice(f"no board at {printable(port)}", do="host devs lists what is present")
    kind = "emulated " if emulated else "real " if emulated is False else ""
    start = f"host emulate --board {board or 'pico'}"
    do = {True: start, False: "plug it in", None: f"plug one in, or {start}"}[emulated]
    return NoDevice(f"no {kind}{board or 'board'} is present", do=do)


def _same(port: str, other: str) -> bool:
    return bool(port) and os.path.realpath(port) == os.path.realpath(other)


def _ports() -> list[Device]:
    from serial.tools import list_ports

    ids = {(b.usb.vendor, b.usb.product): b.name for b in boards.all() if b.usb}
    return [
        Device(ids[port.vid, port.pid], REAL, port.serial_number or "", RUNNING, port.device)
        for port in sorted(list_ports.comports(), key=lambda port: port.device)
        if (port.vid, port.pid) in ids
    ]


def _drives() -> list[Device]:
    return [
        Device(board.name, REAL, drive.name, BOOTSEL, drive=drive)
        for board in boards.all()
        for drive in drives(board)
    ]


def drives(board: boards.Board) -> list[Path]:
    """The mounted BOOTSEL drives of real boards of this kind, told by their INFO_UF2.TXT."""
    if board.flash_method != "uf2":
        return []
    return [point for point in _mount_points() if _is_drive_of(point, board)]


def _is_drive_of(folder: Path, board: boards.Board) -> bool:
    try:
        text = (folder / INFO).read_text(errors="replace")
    except OSError:
        return False
    return bool(re.search(rf"^Board-ID: {re.escape(board.usb.drive)}\s*$", text, re.MULTILINE))


def _mount_points() -> list[Path]:
    """Mounted FAT file systems, which is what a drive is; looking into others could hang."""
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").iterdir())
    rows = [line.split() for line in MOUNTS.read_text().splitlines()]
    # The kernel writes a blank as \040.
    return [
        Path(row[1].encode().decode("unicode_escape"))
        for row in rows
        if len(row) > 2 and row[2] in ("vfat", "msdos")
    ]


def _emulated() -> list[Device]:
    return [
        Device(
            board.board,
            EMULATED,
            board.name,
            board.state,
            str(board.device),
            board.drive if board.state == BOOTSEL else None,
        )
        for board in registry.running()
    ]
