"""A serial port as the link wants it: short reads, writes that do not hang, one error."""

from fieldtune.errors import DataLost
from fieldtune.text import printable

TICK = 0.02  # seconds a read waits at most
_WRITE_TIMEOUT = 0.25


class Port:
    """Wraps any object with pyserial's interface. Raises DataLost when the port vanishes."""

    def __init__(self, raw):
        import serial

        self.raw = raw
        self._write_timed_out = serial.SerialTimeoutException
        self._restore = (raw.timeout, raw.write_timeout)
        raw.timeout, raw.write_timeout = TICK, _WRITE_TIMEOUT

    def read(self, wait: bool) -> bytes:
        """What is there; with `wait` and nothing there, what comes within a tick."""
        try:
            waiting = self.raw.in_waiting
            if waiting or not wait:
                return self.raw.read(waiting) if waiting else b""
            data = self.raw.read(1)
            return data + self.raw.read(self.raw.in_waiting) if data else b""
        except OSError as error:
            raise _vanished(error) from error

    def write(self, frame: bytes) -> None:
        """Writes one frame. A port that takes too long cuts it short, and it counts as lost."""
        try:
            self.raw.write(frame)
        except self._write_timed_out:
            pass
        except OSError as error:
            raise _vanished(error) from error

    def restore(self) -> None:
        """Leaves the port's time-outs as they were."""
        try:
            self.raw.timeout, self.raw.write_timeout = self._restore
        except OSError:
            pass  # the port has vanished, which is told by whoever uses it next


def _vanished(error: OSError) -> DataLost:
    return DataLost("the board's port has vanished", printable(error), "is it still plugged in?")
