"""Frames on a byte stream: COBS(header | payload | CRC-32) between zeros, see docs/protocol.md."""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
PAYLOAD_MAX = 1024
SESSION_MAX = 2**30 - 1
ANY_SESSION = 0

_HEADER = struct.Struct("<BBHHI")
_CRC = struct.Struct("<I")
# What neither a program nor the raw REPL prints: Ctrl-D ends its answers, escape starts a colour.
_CONTROL = frozenset(range(32)) - frozenset(b"\a\b\t\n\f\r\x04\x1b")
# header, payload and CRC with COBS's overhead
_ENCODED_MAX = _HEADER.size + PAYLOAD_MAX + _CRC.size + 5


class Type(IntEnum):
    """What a frame means."""

    HELLO = 1
    WELCOME = 2
    DATA = 3
    ACK = 4
    NAK = 5
    BYE = 6
    STOP = 16
    PAUSE = 17
    RESUME = 18
    STATUS = 19
    REPORT = 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, decoded. `type` is a plain number: what arrives may be of a type not known here."""

    type: int
    channel: int
    sequence: int
    session: int
    payload: bytes = b""


def cobs_encode(data: bytes) -> bytes:
    """`data` without zeros."""
    out = bytearray()
    runs = data.split(b"\0")
    for run in runs[:-1]:
        while len(run) >= 254:
            out += b"\xff" + run[:254]
            run = run[254:]
        out.append(len(run) + 1)
        out += run
    run = runs[-1]
    while len(run) > 254:
        out += b"\xff" + run[:254]
        run = run[254:]
    out.append(len(run) + 1)
    out += run
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """The inverse of `cobs_encode`; None when `data` is cut short or holds a zero."""
    out = bytearray()
    at = 0
    while at < len(data):
        code = data[at]
        end = at + code
        if code == 0 or end > len(data):
            return None
        out += data[at + 1 : end]
        at = end
        if code < 255 and at < len(data):
            out.append(0)
    return None if b"\0" in data else bytes(out)


def encode(frame: Frame) -> bytes:
    """The frame on the wire, its two zeros included. ValueError for too long a payload."""
    if len(frame.payload) > PAYLOAD_MAX:
        raise ValueError(f"a payload of {len(frame.payload)} bytes, the most is {PAYLOAD_MAX}")
    header = _HEADER.pack(
        frame.type, frame.channel, frame.sequence, len(frame.payload), frame.session
    )
    body = header + frame.payload
    return b"\0" + cobs_encode(body + _CRC.pack(zlib.crc32(body))) + b"\0"


def decode(segment: bytes) -> Frame | None:
    """The frame that stood between two zeros; None when it is damaged."""
    body = cobs_decode(segment)
    if body is None or len(body) < _HEADER.size + _CRC.size:
        return None
    (crc,) = _CRC.unpack_from(body, len(body) - _CRC.size)
    body = body[: -_CRC.size]
    type_, channel, sequence, length, session = _HEADER.unpack_from(body)
    payload = body[_HEADER.size :]
    if length != len(payload) or crc != zlib.crc32(body):
        return None
    return Frame(type_, channel, sequence, session, payload)


def is_output(data: bytes) -> bool:
    """Whether a program can have printed this; frames are full of control characters."""
    return _CONTROL.isdisjoint(data)


class Splitter:
    """Takes a byte stream apart into frames and the ordinary output between them."""

    def __init__(self) -> None:
        self.corrupt = 0
        self._held = bytearray()  # since the last zero, while it can be a frame
        self._in_frame = False
        self._overrun = False  # of what was too long for a frame, no zero has come yet

    def feed(self, data: bytes) -> Iterator[Frame | bytes]:
        """Yields what `data` completes, in order: frames, and text as bytes."""
        for segment in re.findall(rb"\0|[^\0]+", data):
            yield from self._zero() if segment == b"\0" else self._append(segment)

    def _append(self, data: bytes) -> Iterator[bytes]:
        if not self._in_frame:
            if is_output(data):
                yield data
                return
            if self._overrun:
                return
            # The rest of a frame that has lost its start: it ends at the next zero.
            self._in_frame = True
        self._held += data
        if len(self._held) > _ENCODED_MAX:
            yield from self._give_up()
            self._in_frame, self._overrun = False, True

    def _zero(self) -> Iterator[Frame | bytes]:
        self._overrun = False
        if not self._in_frame:
            self._in_frame = True
        elif self._held:
            frame = decode(bytes(self._held))
            if frame is None:
                # This zero may be the start of the next frame as well as the end of a broken one.
                yield from self._give_up()
            else:
                self._held.clear()
                self._in_frame = False
                yield frame

    def _give_up(self) -> Iterator[bytes]:
        held = bytes(self._held)
        self._held.clear()
        if is_output(held):
            yield held
        else:
            self.corrupt += 1
