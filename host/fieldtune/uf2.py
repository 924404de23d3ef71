"""UF2, the file a boot ROM's drive programs: 512-byte blocks of 256 bytes of flash each.

Format: https://github.com/microsoft/uf2
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from fieldtune.boards import Board
from fieldtune.errors import UsageError

BLOCK = 512
PAYLOAD = 256
MAGIC = (0x0A324655, 0x9E5D5157)
MAGIC_END = 0x0AB16F30
NOT_MAIN_FLASH = 0x00000001
FAMILY_PRESENT = 0x00002000

_HEADER = struct.Struct("<8I")
_END = struct.Struct("<I")


@dataclass(frozen=True)
class FlashImage:
    """Contiguous flash content: `data` from `address` on, for the chips of `family`."""

    family: int
    address: int
    data: bytes

    @property
    def crc32(self) -> int:
        return zlib.crc32(self.data)


def encode(image: FlashImage) -> bytes:
    """The UF2 file of `image`; its last block is filled up with zeros."""
    data = image.data + bytes(-len(image.data) % PAYLOAD)
    total = len(data) // PAYLOAD
    blocks = []
    for number in range(total):
        start = number * PAYLOAD
        address = image.address + start
        header = _HEADER.pack(
            *MAGIC, FAMILY_PRESENT, address, PAYLOAD, number, total, image.family
        )
        payload = data[start : start + PAYLOAD]
        blocks.append((header + payload).ljust(BLOCK - _END.size, b"\0") + _END.pack(MAGIC_END))
    return b"".join(blocks)


def decode(content: bytes, name: str) -> FlashImage:
    """The flash content of a UF2 file. `name` stands for it in errors.

    Raises UsageError when it is truncated or no UF2, when a block is missing, doubled, of another
    family or size than the first, or when the blocks leave a gap.
    """

    def refuse(why: str) -> UsageError:
        return UsageError(f"{name} cannot be flashed", why, "build or download the image again")

    if len(content) < BLOCK or len(content) % BLOCK:
        raise refuse(f"{len(content)} bytes are no whole number of {BLOCK}-byte UF2 blocks")
    count = len(content) // BLOCK
    payloads: dict[int, bytes] = {}
    family = first_address = None
    for position in range(count):
        block = content[position * BLOCK : (position + 1) * BLOCK]
        first, second, flags, address, size, number, total, block_family = _HEADER.unpack_from(
            block
        )
        (end,) = _END.unpack_from(block, BLOCK - _END.size)
        where = f"block {position}"
        if (first, second) != MAGIC or end != MAGIC_END:
            raise refuse(f"{where} is no UF2 block")
        if flags & NOT_MAIN_FLASH or not flags & FAMILY_PRESENT:
            raise refuse(f"{where} does not say which chip it is for")
        if size != PAYLOAD:
            raise refuse(f"{where} carries {size} bytes, not {PAYLOAD}")
        if total != count or number >= total:
            raise refuse(f"{where} calls itself {number} of {total} in a file of {count} blocks")
        if number in payloads:
            raise refuse(f"block {number} is there twice")
        if family is None:
            family, first_address = block_family, address - number * PAYLOAD
        if block_family != family:
            raise refuse(f"{where} is for another chip than the first")
        if address != first_address + number * PAYLOAD:
            raise refuse(f"{where} is for {address:#x}, which leaves a gap or an overlap")
        payloads[number] = block[_HEADER.size : _HEADER.size + PAYLOAD]
    data = b"".join(payloads[number] for number in range(count))
    return FlashImage(family, first_address, data)


def check(image: FlashImage, board: Board, name: str) -> None:
    """Raises UsageError when `image` is not for `board`'s chip or would reach beyond its place."""
    target = board.uf2
    if target is None:
        raise UsageError(f"{name} is a UF2 file, and {board.name} takes none")
    if image.family != target.family:
        raise UsageError(
            f"{name} is not for {board.title}",
            f"it is for chips of family {image.family:#010x}, not {target.family:#010x}",
            f"host build --board {board.name} makes the right one",
        )
    last = image.address + len(image.data)
    if image.address != target.address or last > target.address + target.size:
        raise UsageError(
            f"{name} does not fit {board.title}",
            f"it fills {image.address:#x}..{last:#x}; an image has "
            f"{target.address:#x}..{target.address + target.size:#x}, the file system lies above",
            f"host build --board {board.name} makes the right one",
        )


def load(path: Path, board: Board) -> FlashImage:
    """Reads `path` and makes sure that it can be flashed to `board`. Raises UsageError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}", error.strerror or str(error)) from error
    image = decode(content, path.name)
    check(image, board, path.name)
    return image
