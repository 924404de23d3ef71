"""The boot ROM's drive: which blocks it programs, and when it is done."""

import struct

import pytest

from fieldtune import uf2
from fieldtune.emulate.bootsel import FAMILY, FLASH_BYTES, XIP_BASE, Drive, boot2_valid

PAGES = {0: b"\x11" * 256, 1: b"\x22" * 256, 16: b"\x33" * 256}  # pages 0 and 1 share a sector


def block(page: int, number: int = 0, total: int = 1, family: int = FAMILY, **change) -> bytes:
    fields = {
        "magic0": uf2.MAGIC[0],
        "magic1": uf2.MAGIC[1],
        "flags": uf2.FAMILY_PRESENT,
        "address": XIP_BASE + page * 256,
        "size": 256,
        "number": number,
        "total": total,
        "family": family,
    } | change
    end = fields.pop("end", uf2.MAGIC_END)
    payload = PAGES.get(page, b"\x44" * 256)
    return (struct.pack("<8I", *fields.values()) + payload).ljust(508, b"\0") + struct.pack(
        "<I", end
    )


@pytest.fixture
def flash(tmp_path):
    path = tmp_path / "flash.bin"
    path.write_bytes(b"\xaa" * FLASH_BYTES)
    return path


@pytest.fixture
def drive(tmp_path, flash):
    return Drive(tmp_path / "RPI-RP2", flash)


def copy(drive, content: bytes, name: str = "image.uf2") -> None:
    (drive.folder / name).write_bytes(content)


def test_nothing_happens_until_something_is_copied(drive, flash):
    assert not drive.poll()
    assert flash.read_bytes() == b"\xaa" * FLASH_BYTES


def test_an_image_is_programmed_and_its_sectors_are_erased(drive, flash):
    copy(drive, b"".join(block(page, n, 3) for n, page in enumerate(PAGES)))
    assert drive.poll()
    content = flash.read_bytes()
    assert content[:512] == PAGES[0] + PAGES[1]
    assert content[512:4096] == b"\xff" * (4096 - 512)
    assert content[4096:4352] == PAGES[16]
    assert content[8192:] == b"\xaa" * (FLASH_BYTES - 8192)


def test_blocks_may_come_in_any_order_and_in_pieces(drive, flash):
    content = block(1, 1, 2) + block(0, 0, 2)
    copy(drive, content[:700])
    assert not drive.poll()
    with (drive.folder / "image.uf2").open("ab") as file:
        file.write(content[700:])
    assert drive.poll()
    assert flash.read_bytes()[:512] == PAGES[0] + PAGES[1]


def test_a_truncated_image_is_never_done(drive):
    copy(drive, block(0, 0, 2))
    assert not drive.poll()
    assert not drive.poll()


def test_a_block_twice_counts_once(drive):
    copy(drive, block(0, 0, 2) * 2)
    assert not drive.poll()


@pytest.mark.parametrize(
    "change",
    [
        {"family": 0xE48BFF59},
        {"flags": 0},
        {"flags": uf2.FAMILY_PRESENT | uf2.NOT_MAIN_FLASH},
        {"magic0": 0},
        {"magic1": 0},
        {"end": 0},
        {"size": 128},
        {"address": XIP_BASE + 128},
        {"address": XIP_BASE - 256},
        {"address": XIP_BASE + FLASH_BYTES},
        {"address": 0x20000000},
        {"number": 1},
    ],
)
def test_a_block_that_is_not_for_this_flash_is_ignored(drive, flash, change):
    copy(drive, block(0, **change))
    assert not drive.poll()
    assert flash.read_bytes() == b"\xaa" * FLASH_BYTES


def test_a_link_out_of_the_drive_is_not_followed(drive, flash, tmp_path):
    outside = tmp_path / "outside.uf2"
    outside.write_bytes(block(0))
    (drive.folder / "link.uf2").symlink_to(outside)
    assert not drive.poll()


def test_ejecting_takes_the_folder_away(drive):
    copy(drive, block(0))
    drive.eject()
    assert not drive.folder.exists()


def test_boot2_is_started_only_with_its_checksum():
    # CRC-32/MPEG-2 of 252 zeros, from its definition: every bit of the remainder shifted by hand.
    remainder = 0xFFFFFFFF
    for _ in range(252 * 8):
        remainder = (remainder << 1) ^ (0x104C11DB7 if remainder & 0x80000000 else 0)
    good = bytes(252) + remainder.to_bytes(4, "little")
    assert boot2_valid(good)
    assert not boot2_valid(bytes([1]) + good[1:])
    assert not boot2_valid(b"\xff" * 256)
