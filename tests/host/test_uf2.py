"""uf2: a file that can be flashed is read exactly, any other is refused."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldtune import boards, uf2
from fieldtune.errors import UsageError

PICO = boards.load("pico")
RP2040 = 0xE48BFF56
RP2350 = 0xE48BFF59
XIP = 0x1000_0000


def image(size=1024, family=RP2040, address=XIP):
    return uf2.FlashImage(family, address, bytes(i % 251 for i in range(size)))


def blocks(content):
    return [content[i : i + 512] for i in range(0, len(content), 512)]


def with_field(block, index, value):
    """`block` with the 32-bit word at `index` replaced."""
    return block[: 4 * index] + struct.pack("<I", value) + block[4 * index + 4 :]


def refusal(content):
    with pytest.raises(UsageError) as refused:
        uf2.decode(content, "x.uf2")
    return refused.value.why


@given(st.binary(min_size=1, max_size=2000), st.integers(0, 2**19))
def test_what_is_encoded_is_decoded(data, sector):
    original = uf2.FlashImage(RP2040, sector * 4096, data)
    decoded = uf2.decode(uf2.encode(original), "x.uf2")
    assert (decoded.family, decoded.address) == (RP2040, sector * 4096)
    assert decoded.data == data + bytes(-len(data) % 256)


def test_the_blocks_may_come_in_any_order():
    content = b"".join(reversed(blocks(uf2.encode(image()))))
    assert uf2.decode(content, "x.uf2") == image()


def test_a_block_is_laid_out_as_the_format_says():
    (block,) = blocks(uf2.encode(image(256)))
    words = struct.unpack_from("<8I", block)
    assert words == (0x0A324655, 0x9E5D5157, 0x2000, XIP, 256, 0, 1, RP2040)
    assert block[32:288] == image(256).data
    assert block[288:508] == bytes(220)
    assert block[508:] == struct.pack("<I", 0x0AB16F30)


def test_the_crc_is_that_of_the_flash_content():
    assert image().crc32 == zlib.crc32(image().data)


@pytest.mark.parametrize("length", [0, 1, 511, 513, 2047])
def test_a_file_cut_within_a_block_is_refused(length):
    assert refusal(uf2.encode(image())[:length]) == (
        f"{length} bytes are no whole number of 512-byte UF2 blocks"
    )


def test_a_file_cut_between_blocks_is_refused():
    assert (
        refusal(uf2.encode(image())[:-512]) == "block 0 calls itself 0 of 4 in a file of 3 blocks"
    )


def test_a_doubled_block_is_refused():
    first, second, _third, fourth = blocks(uf2.encode(image()))
    assert refusal(first + second + second + fourth) == "block 1 is there twice"


def test_a_gap_is_refused():
    first, second, third, fourth = blocks(uf2.encode(image()))
    third = with_field(third, 3, XIP + 0x1000)
    assert refusal(first + second + third + fourth) == (
        "block 2 is for 0x10001000, which leaves a gap or an overlap"
    )


def test_two_families_in_one_file_are_refused():
    first, *rest = blocks(uf2.encode(image()))
    rest[0] = with_field(rest[0], 7, RP2350)
    assert refusal(first + b"".join(rest)) == "block 1 is for another chip than the first"


@pytest.mark.parametrize("word", [0, 1, 127])
def test_a_block_without_its_magic_is_refused(word):
    first, *rest = blocks(uf2.encode(image()))
    assert refusal(with_field(first, word, 0) + b"".join(rest)) == "block 0 is no UF2 block"


def test_a_block_that_is_not_for_the_flash_is_refused():
    (block,) = blocks(uf2.encode(image(256)))
    assert "which chip" in refusal(with_field(block, 2, 0x2001))


def test_a_block_of_another_size_is_refused():
    (block,) = blocks(uf2.encode(image(256)))
    assert refusal(with_field(block, 4, 476)) == "block 0 carries 476 bytes, not 256"


def test_an_image_for_another_chip_is_refused():
    with pytest.raises(UsageError) as refused:
        uf2.check(image(family=RP2350), PICO, "x.uf2")
    assert refused.value.why == "it is for chips of family 0xe48bff59, not 0xe48bff56"


@pytest.mark.parametrize(
    ("address", "size"),
    [
        (0x2000_0000, 256),  # RAM
        (XIP + 256, 256),  # without the second-stage boot loader
        (XIP, 640 * 1024 + 256),  # into the file system
    ],
)
def test_an_image_outside_its_place_in_flash_is_refused(address, size):
    with pytest.raises(UsageError, match="does not fit"):
        uf2.check(image(size, address=address), PICO, "x.uf2")


def test_an_image_that_fills_its_place_is_accepted():
    uf2.check(image(640 * 1024), PICO, "x.uf2")


def test_a_board_without_a_uf2_drive_takes_none():
    with pytest.raises(UsageError, match="unix takes none"):
        uf2.check(image(), boards.load("unix"), "x.uf2")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot read .*nothing.uf2"):
        uf2.load(tmp_path / "nothing.uf2", PICO)
