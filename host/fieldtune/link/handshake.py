"""The frames that open and end a session: what is in them, and what makes them wrong."""

import json
import random
import struct
from dataclasses import dataclass

from fieldtune.errors import DataLost, Incompatible
from fieldtune.link import frame as wire
from fieldtune.link.frame import Frame, Type
from fieldtune.link.window import Tally
from fieldtune.text import printable

_LIMITS = struct.Struct("<BBH")
_TALLIES = struct.Struct("<6I")
_CTRL_C_AND_D = {3, 4}
HEARD = 2  # of a BYE: the other end's has arrived
_FLASH = "flash the image that belongs to this host: host flash"


def hello(window: int) -> tuple[int, bytes]:
    """Chooses a session. Returns its number and the encoded HELLO, which holds no Ctrl-C."""
    limits = _LIMITS.pack(wire.VERSION, window, wire.PAYLOAD_MAX)
    while True:
        session = random.randint(1, wire.SESSION_MAX)
        encoded = wire.encode(Frame(Type.HELLO, 0, 0, session, limits))
        if b"\x03" not in encoded:
            return session, encoded


@dataclass(frozen=True)
class Welcome:
    """What the board grants, and the JSON object it calls itself."""

    window: int
    payload_max: int
    identity: dict

    @classmethod
    def parse(cls, payload: bytes) -> "Welcome":
        """Raises Incompatible for another version, or for what is no welcome at all."""
        version = payload[0] if payload else "?"
        if version != wire.VERSION:
            raise Incompatible(
                f"the board speaks version {version} of the link, this host {wire.VERSION}",
                do=_FLASH,
            )
        try:
            _version, window, limit = _LIMITS.unpack_from(payload)
            identity = json.loads(payload[_LIMITS.size :])
            if not isinstance(identity, dict):
                raise ValueError("its identity is no JSON object")
        except (struct.error, ValueError, RecursionError) as error:
            what = "the board's welcome makes no sense"
            raise Incompatible(what, printable(error), _FLASH) from error
        return cls(window, min(limit, wire.PAYLOAD_MAX), identity)


def bye(session: int, flags: int, sent: Tally, received: Tally) -> bytes:
    """The host's BYE, encoded."""
    counts = _TALLIES.pack(*sent.on_wire(), *received.on_wire())
    return wire.encode(Frame(Type.BYE, flags, 0, session, counts))


def end_any_session() -> bytes:
    """The encoded frame that ends whatever session a board is in, and does no harm at a prompt."""
    for sequence in range(0x101, 0x10000):
        encoded = wire.encode(Frame(Type.BYE, 1, sequence, wire.ANY_SESSION))
        if not _CTRL_C_AND_D & set(encoded):
            return encoded
    raise AssertionError("unreachable: a sequence with such a CRC exists")


def compare(payload: bytes, sent: Tally, received: Tally) -> None:
    """Holds the board's BYE against the host's counts. Raises DataLost when they differ."""
    try:
        counts = _TALLIES.unpack(payload)
    except struct.error:
        raise DataLost("the board's goodbye holds no counts") from None
    for way, ours, theirs in (
        ("to the board", sent.on_wire(), counts[3:]),
        ("from the board", received.on_wire(), counts[:3]),
    ):
        if ours != theirs:
            raise DataLost(
                f"data was lost on the way {way}",
                f"(frames, bytes, CRC-32) are {ours} on the host and {theirs} on the board",
            )
