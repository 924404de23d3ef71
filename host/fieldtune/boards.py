"""The boards fieldtune knows: one folder with a board.toml each."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from fieldtune import tree
from fieldtune.errors import UsageError


@dataclass(frozen=True)
class Uf2Target:
    """What a UF2 file for the board must be: its family and the flash an image may fill."""

    family: int
    address: int
    size: int  # bytes an image may fill, up to the file system


@dataclass(frozen=True)
class Usb:
    """USB ids: `product` while MicroPython runs; the boot ROM's `bootloader` and `drive` label."""

    vendor: int
    product: int
    bootloader: int
    drive: str


@dataclass(frozen=True)
class Board:
    """One board.toml. Sizes in bytes, clock in Hz; 0 where the board has no such limit."""

    name: str
    folder: Path
    title: str
    kind: str  # "hardware", "twin" or "simulator"
    chip: str
    core: str
    port: str  # the MicroPython port that its image is built from
    clock_hz: int
    flash_bytes: int
    ram_bytes: int
    heap_bytes: int  # what MicroPython leaves to Python
    flash_method: str  # "uf2" or "none"
    uf2: Uf2Target | None
    usb: Usb | None
    emulator: str | None  # how the board is emulated: "rp2040js", "micropython"


def names() -> list[str]:
    return sorted(path.parent.name for path in tree.source("boards").glob("*/board.toml"))


def load(name: str) -> Board:
    """The board of that name. Raises UsageError when there is none."""
    if name not in names():
        raise UsageError(f"no such board: {name!r}", do=f"choose one of: {', '.join(names())}")
    folder = tree.source("boards", name)
    text = tomllib.loads((folder / "board.toml").read_text(encoding="utf-8"))
    flash = text.pop("flash")
    usb = text.pop("usb", None)
    emulator = text.pop("emulator", {}).get("kind")
    uf2 = None
    if flash["method"] == "uf2":
        uf2 = Uf2Target(flash["uf2_family"], flash["address"], flash["image_bytes"])
    return Board(
        name=name,
        folder=folder,
        flash_method=flash["method"],
        uf2=uf2,
        usb=Usb(**usb) if usb else None,
        emulator=emulator,
        **text,
    )


def all() -> list[Board]:
    return [load(name) for name in names()]
