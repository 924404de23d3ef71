"""Go-back-N, one direction each: what is not acknowledged yet, what has come in order."""

import zlib
from collections import deque
from dataclasses import dataclass, field

_MASK = 0xFFFF


@dataclass
class Tally:
    """What one direction has carried. `crc` runs over all payloads in order."""

    frames: int = 0
    bytes: int = 0
    crc: int = 0

    def add(self, payload: bytes) -> None:
        self.frames += 1
        self.bytes += len(payload)
        self.crc = zlib.crc32(payload, self.crc)

    def on_wire(self) -> tuple[int, int, int]:
        """The three numbers as BYE carries them."""
        return self.frames & 0xFFFFFFFF, self.bytes & 0xFFFFFFFF, self.crc


@dataclass
class Outgoing:
    """The sender's side. Sequences count on here; on the wire they wrap at 65536."""

    granted: int = 0
    acked: int = 0
    frames: deque[bytes] = field(default_factory=deque)  # encoded, not acknowledged
    tally: Tally = field(default_factory=Tally)

    @property
    def next(self) -> int:
        return self.acked + len(self.frames)

    @property
    def has_credit(self) -> bool:
        return self.next < self.granted

    def push(self, frame: bytes, payload: bytes) -> None:
        self.frames.append(frame)
        self.tally.add(payload)

    def acknowledge(self, sequence: int, credit: int) -> int:
        """Takes an ACK or a NAK. Returns how many frames it settles, -1 for an outdated one."""
        done = (sequence - self.acked) & _MASK
        if done > len(self.frames):
            return -1
        for _ in range(done):
            self.frames.popleft()
        self.acked += done
        self.granted = max(self.granted, self.acked + credit)
        return done


@dataclass
class Incoming:
    """The receiver's side."""

    window: int
    room: int  # frames that may wait
    expected: int = 0
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    tally: Tally = field(default_factory=Tally)
    duplicates: int = 0
    gap: bool = False  # a NAK for the missing frame is out

    @property
    def credit(self) -> int:
        return max(0, min(self.window, self.room - len(self.waiting)))

    def take(self, sequence: int, channel: int, payload: bytes) -> bool:
        """Takes a DATA frame. True when it is one that leaves a gap, to be answered by a NAK."""
        ahead = (sequence - self.expected) & _MASK
        if ahead == 0 and len(self.waiting) < self.room:
            self.waiting.append((channel, payload))
            self.tally.add(payload)
            self.expected += 1
            self.gap = False
        elif ahead > _MASK // 2:
            self.duplicates += 1
        elif ahead > 0 and not self.gap:
            self.gap = True
            return True
        return False
