"""Go-back-N, one direction each: what is not acknowledged yet, what has come in order."""

import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

RETRY = 0.25  # seconds, doubling ...
RETRY_MAX = 2.0  # ... up to this
_NAK_PAUSE = 0.1
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


class Outgoing:
    """The sender's side. Sequences count on here; on the wire they wrap at 65536."""

    def __init__(self, write: Callable[[bytes], None]):
        self.granted = 0
        self.acked = 0
        self.frames: deque[bytes] = deque()  # encoded, not acknowledged
        self.tally = Tally()
        self.carried = 0  # frames put on the line, repeated ones included
        self.retransmitted = 0
        self._write = write
        self._went_back = -_NAK_PAUSE
        self.restart_timer()

    @property
    def next(self) -> int:
        return self.acked + len(self.frames)

    @property
    def has_credit(self) -> bool:
        return self.next < self.granted

    def send(self, encoded: bytes, payload: bytes) -> None:
        """Puts the next frame on the line and keeps it until it is acknowledged."""
        if not self.frames:
            self.restart_timer()
        self.frames.append(encoded)
        self.tally.add(payload)
        self.carried += 1
        self._write(encoded)

    def acknowledge(self, sequence: int, credit: int, again: bool) -> None:
        """Takes an ACK, or with `again` a NAK. Outdated ones change nothing."""
        done = (sequence - self.acked) & _MASK
        if done > len(self.frames):
            return
        for _ in range(done):
            self.frames.popleft()
        if done:
            self.restart_timer()
        self.acked += done
        self.granted = max(self.granted, self.acked + credit)
        if again and time.monotonic() - self._went_back >= _NAK_PAUSE:
            self.go_back()

    def go_back(self) -> None:
        """Sends everything again that is not acknowledged."""
        for encoded in self.frames:
            self._write(encoded)
        self.retransmitted += len(self.frames)
        self.carried += len(self.frames)
        self._went_back = self._progress = time.monotonic()

    def restart_timer(self) -> None:
        self._progress = time.monotonic()
        self._delay = RETRY

    def overdue(self, now: float) -> bool:
        """Whether there was no progress for too long, which is twice as long the next time."""
        if now - self._progress < self._delay:
            return False
        self._progress = now
        self._delay = min(2 * self._delay, RETRY_MAX)
        return True


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
