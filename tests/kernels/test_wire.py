"""native_modules/wire under sanitizers, against the frames of the host."""

import struct
import subprocess
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldtune import tree
from fieldtune.link import frame as wire
from fieldtune.link.frame import Frame

PAYLOAD_MAX = 1024
BUFFER = PAYLOAD_MAX + 4  # the CRC is received behind the payload

frames = st.builds(
    Frame,
    type=st.integers(0, 255),
    channel=st.integers(0, 255),
    sequence=st.integers(0, 65535),
    session=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=PAYLOAD_MAX),
)


@dataclass
class Received:
    frames: list[Frame] = field(default_factory=list)
    corrupt: int = 0
    oversize: int = 0
    skipped: int = 0


class Driver:
    """The C code in a process that ends when a sanitizer objects."""

    def __init__(self, program):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ask(self, data: bytes) -> None:
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def numbers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.bytes(4 * count))

    def bytes(self, count: int) -> bytes:
        data = self.process.stdout.read(count)
        assert len(data) == count, self.process.stderr.read().decode()
        return data

    def encode(self, frame: Frame) -> bytes:
        header = struct.pack("<4I", frame.type, frame.channel, frame.sequence, frame.session)
        self.ask(b"E" + header + struct.pack("<I", len(frame.payload)) + frame.payload)
        return self.bytes(self.numbers(1)[0])

    def receive(self, stream: bytes, size: int = BUFFER, piece: int = 256) -> Received:
        self.ask(b"R" + struct.pack("<3I", size, piece, len(stream)) + stream)
        received = Received()
        while self.numbers(1)[0]:
            *header, length = self.numbers(5)
            received.frames.append(Frame(*header, self.bytes(length)))
        received.corrupt, received.oversize, received.skipped = self.numbers(3)
        return received


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    program = tmp_path_factory.mktemp("wire") / "driver"
    source = tree.source("native_modules", "wire")
    files = [source / name for name in ("cobs.c", "crc32.c", "frame.c")]
    here = tree.source("tests", "kernels", "wire_driver.c")
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    warn = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    subprocess.run(
        ["cc", "-g", "-O1", *sanitize, *warn, "-I", source, here, *files, "-o", program],
        check=True,
    )
    driver = Driver(program)
    yield driver
    driver.process.stdin.close()
    assert driver.process.wait(timeout=10) == 0, driver.process.stderr.read().decode()


@given(frame=frames)
@settings(deadline=None)
def test_a_frame_is_encoded_as_the_host_encodes_it(driver, frame):
    assert driver.encode(frame) == wire.encode(frame)


@given(batch=st.lists(frames, max_size=4))
@settings(deadline=None)
def test_frames_are_received_as_they_were_sent(driver, batch):
    received = driver.receive(b"".join(map(wire.encode, batch)))
    assert received == Received(frames=batch)


@given(
    batch=st.lists(frames, max_size=2), garbage=st.binary(max_size=50), piece=st.integers(1, 64)
)
@settings(deadline=None)
def test_it_does_not_matter_in_which_pieces_bytes_come(driver, batch, garbage, piece):
    stream = garbage + b"".join(map(wire.encode, batch)) + garbage
    assert driver.receive(stream, piece=piece) == driver.receive(stream, piece=len(stream) + 1)


# COBS has its edges at runs of 254 bytes without a zero; a run may also start in the header.
@pytest.mark.parametrize("length", [*range(236, 258), *range(490, 512), 1023, 1024])
def test_a_block_that_is_just_full_survives(driver, length):
    for tail in (b"", b"\0", b"\0\0", b"\1"):
        frame = Frame(3, 7, 0x0101, 0x01010101, (b"\1" * length + tail)[:PAYLOAD_MAX])
        encoded = driver.encode(frame)
        assert encoded == wire.encode(frame)
        assert driver.receive(encoded).frames == [frame]


def test_the_longest_frame_has_1045_bytes(driver):
    # 1038 bytes of header, payload and CRC, one code byte before each 254 of them, two zeros
    frame = Frame(3, 1, 0x0101, 0x01010101, b"\1" * PAYLOAD_MAX)
    assert len(driver.encode(frame)) == 1045


def test_every_single_bit_error_is_detected(driver):
    frame = Frame(3, 1, 2, 0x12345678, bytes(range(0, 120)))
    encoded = wire.encode(frame)
    for bit in range(8, 8 * (len(encoded) - 1)):
        damaged = bytearray(encoded)
        damaged[bit // 8] ^= 1 << bit % 8
        received = driver.receive(bytes(damaged) + wire.encode(frame))
        assert received.frames == [frame], f"bit {bit}"
        assert received.corrupt >= 1, f"bit {bit}"


def test_two_frames_may_share_a_zero(driver):
    frame = Frame(4, 3, 9, 5)
    encoded = wire.encode(frame)
    assert driver.receive(encoded + encoded[1:]) == Received(frames=[frame, frame])


@given(garbage=st.binary(max_size=3000), frame=frames)
@settings(deadline=None)
def test_the_frame_behind_garbage_is_received(driver, garbage, frame):
    received = driver.receive(garbage + wire.encode(frame))
    assert received.frames[-1] == frame


@given(garbage=st.binary(max_size=300), size=st.integers(4, 32))
@settings(deadline=None)
def test_no_bytes_are_written_behind_a_small_buffer(driver, garbage, size):
    driver.receive(garbage, size)


def test_garbage_without_a_zero_is_skipped_and_counted_once(driver):
    frame = Frame(3, 0, 0, 1, b"x")
    received = driver.receive(b"\xff" * 100_000 + wire.encode(frame))
    assert received == Received(frames=[frame], oversize=1, skipped=100_000)


def test_a_payload_that_exceeds_the_buffer_is_counted(driver):
    encoded = wire.encode(Frame(3, 0, 0, 1, bytes(PAYLOAD_MAX)))
    assert driver.receive(encoded, BUFFER - 1).oversize == 1
    assert len(driver.receive(encoded, BUFFER).frames) == 1


def test_a_frame_cut_short_is_corrupt(driver):
    encoded = wire.encode(Frame(3, 0, 0, 1, b"hello"))
    for length in range(2, len(encoded) - 1):
        received = driver.receive(encoded[:length] + b"\0")
        assert (received.frames, received.corrupt, received.skipped) == ([], 1, length - 1)
