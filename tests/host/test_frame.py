"""Frames on the host: they come back or are refused, and output between them stays output."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldtune.link import frame as wire
from fieldtune.link.frame import Frame, Splitter

frames = st.builds(
    Frame,
    type=st.integers(0, 255),
    channel=st.integers(0, 255),
    sequence=st.integers(0, 65535),
    session=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=1024),
)
# What programs print holds no control characters but these.
outputs = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\r\n\t\x1b")
).map(str.encode)


def split(data: bytes, step: int | None = None) -> list[Frame | bytes]:
    """Everything a Splitter makes of `data`, neighbouring output joined."""
    splitter = Splitter()
    items: list[Frame | bytes] = []
    step = step or max(1, len(data))
    for at in range(0, len(data), step):
        for item in splitter.feed(data[at : at + step]):
            if items and isinstance(item, bytes) and isinstance(items[-1], bytes):
                items[-1] += item
            else:
                items.append(item)
    return items


# The examples of the COBS paper's usual summary.
@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        ("00", "0101"),
        ("0000", "010101"),
        ("00110000", "0102110101"),
        ("11220033", "0311220233"),
        ("11223344", "0511223344"),
        ("11000000", "0211010101"),
    ],
)
def test_cobs_is_the_published_one(data, encoded):
    assert wire.cobs_encode(bytes.fromhex(data)).hex() == encoded


def test_the_layout_is_the_documented_one():
    body = bytes.fromhex("03 07 0201 0100 04030201 ff".replace(" ", ""))
    body += zlib.crc32(body).to_bytes(4, "little")
    encoded = wire.encode(Frame(3, 7, 0x0102, 0x01020304, b"\xff"))
    assert encoded == b"\0" + wire.cobs_encode(body) + b"\0"


@given(st.binary(max_size=2000))
def test_cobs_leaves_no_zero_and_comes_back(data):
    encoded = wire.cobs_encode(data)
    assert b"\0" not in encoded
    assert wire.cobs_decode(encoded) == data


@given(frames)
def test_a_frame_comes_back(frame):
    assert wire.decode(wire.encode(frame)[1:-1]) == frame


@given(st.binary(max_size=200))
def test_decoding_anything_raises_nothing(data):
    wire.decode(data)


def test_every_single_bit_error_is_detected():
    encoded = wire.encode(Frame(3, 1, 2, 0x12345678, bytes(range(100))))
    for bit in range(8, 8 * (len(encoded) - 1)):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << bit % 8
        assert wire.decode(bytes(damaged[1:-1])) is None, f"bit {bit}"


def test_a_payload_over_1024_bytes_is_refused():
    with pytest.raises(ValueError, match="1025 bytes"):
        wire.encode(Frame(3, 0, 0, 1, bytes(1025)))


@given(st.lists(st.tuples(outputs, frames), max_size=4), outputs, st.integers(1, 50))
def test_output_between_frames_stays_in_its_place(pairs, last, step):
    stream = b"".join(text + wire.encode(frame) for text, frame in pairs) + last
    expected = [item for pair in pairs for item in pair] + [last]
    assert split(stream, step) == [item for item in expected if item != b""]


def test_output_behind_a_broken_frame_is_not_lost():
    broken = bytearray(wire.encode(Frame(3, 0, 0, 1, bytes(range(200)))))
    broken[20] ^= 1
    good = Frame(4, 0, 0, 1)
    assert split(bytes(broken) + b"Traceback\r\n" + wire.encode(good)) == [b"Traceback\r\n", good]


def test_the_rest_of_a_frame_is_not_taken_for_output():
    first, second = Frame(3, 0, 0, 1, bytes(range(200))), Frame(3, 0, 1, 1, b"x")
    splitter = Splitter()
    assert list(splitter.feed(wire.encode(first)[10:] + wire.encode(second))) == [second]
    assert splitter.corrupt == 1


def test_a_frame_cut_short_does_not_take_the_next_one_with_it():
    first, second = Frame(3, 0, 0, 1, bytes(range(200))), Frame(3, 0, 1, 1, b"x")
    assert split(wire.encode(first)[:50] + wire.encode(second)) == [second]


def test_endless_bytes_without_a_zero_are_not_hoarded():
    splitter = Splitter()
    list(splitter.feed(b"\0"))
    for _ in range(100):
        list(splitter.feed(b"\x02" * 1000))
    assert splitter.corrupt == 1
    assert len(splitter._held) <= 1100
