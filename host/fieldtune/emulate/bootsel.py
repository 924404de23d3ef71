"""The boot ROM's USB drive, as a folder: what is copied there is programmed block by block."""

import os
import shutil
import struct
from pathlib import Path

from fieldtune import uf2

DRIVE = "RPI-RP2"
FLASH_BYTES = 2 * 1024 * 1024
SECTOR_BYTES = 4096
PAGE_BYTES = uf2.PAYLOAD
XIP_BASE = 0x10000000
FAMILY = 0xE48BFF56
BOOT2_BYTES = 256
BOOT2_POLYNOMIAL = 0x04C11DB7

INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"
INDEX = (
    '<html><head><meta http-equiv="refresh" content="0;URL=https://raspberrypi.com/device/RP2"/>'
    "</head><body>An emulated Raspberry Pi Pico in BOOTSEL.</body></html>\r\n"
)
OWN_FILES = {"INFO_UF2.TXT": INFO, "INDEX.HTM": INDEX}


def boot2_valid(flash: bytes) -> bool:
    """Whether the boot ROM would start `flash`: the checksum over its first 252 bytes."""
    crc = 0xFFFFFFFF
    for byte in flash[: BOOT2_BYTES - 4]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ BOOT2_POLYNOMIAL if crc >> 31 else crc << 1) & 0xFFFFFFFF
    return flash[BOOT2_BYTES - 4 : BOOT2_BYTES] == crc.to_bytes(4, "little")


class Drive:
    """The drive of a board in BOOTSEL. `folder` appears with the object, goes with `eject`."""

    def __init__(self, folder: Path, flash: Path):
        self.folder = folder
        self.flash = flash
        self._consumed: dict[int, int] = {}  # bytes already programmed of each file, by inode
        self._erased: set[int] = set()
        self._received: set[int] = set()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        for name, text in OWN_FILES.items():
            (folder / name).write_bytes(text.encode())

    def poll(self) -> bool:
        """Programs what was copied since the last call. True when an image is complete."""
        for entry in os.scandir(self.folder):
            if entry.name in OWN_FILES or not entry.is_file(follow_symlinks=False):
                continue
            if self._program_file(Path(entry.path), entry.inode()):
                return True
        return False

    def eject(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _program_file(self, path: Path, inode: int) -> bool:
        with path.open("rb") as file:
            file.seek(self._consumed.get(inode, 0))
            while len(block := file.read(uf2.BLOCK)) == uf2.BLOCK:
                self._consumed[inode] = file.tell()
                if self._program_block(block):
                    return True
        return False

    def _program_block(self, block: bytes) -> bool:
        """Programs one UF2 block; ignores, as the boot ROM does, what is not for this chip."""
        magic0, magic1, flags, address, size, number, total, family = struct.unpack_from(
            "<8I", block
        )
        (end,) = struct.unpack_from("<I", block, uf2.BLOCK - 4)
        offset = address - XIP_BASE
        if (magic0, magic1) != uf2.MAGIC or end != uf2.MAGIC_END or flags & uf2.NOT_MAIN_FLASH:
            return False
        if (
            not flags & uf2.FAMILY_PRESENT
            or family != FAMILY
            or size != PAGE_BYTES
            or number >= total
        ):
            return False
        if offset % PAGE_BYTES or not 0 <= offset < FLASH_BYTES:
            return False
        self._write_page(offset, block[32 : 32 + PAGE_BYTES])
        self._received.add(number)
        return len(self._received) == total

    def _write_page(self, offset: int, page: bytes) -> None:
        sector = offset - offset % SECTOR_BYTES
        with self.flash.open("r+b") as flash:
            if sector not in self._erased:
                flash.seek(sector)
                flash.write(b"\xff" * SECTOR_BYTES)
                self._erased.add(sector)
            flash.seek(offset)
            flash.write(page)
