"""A pty that behaves like a board's serial port: it stays while programs come and go."""

import os
import pty
import select
import termios
import tty
from pathlib import Path

SPEEDS = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name.startswith("B") and name[1:].isdigit()
}
DEFAULT_BAUD = 115200
CHUNK_BYTES = 1024
REST_BYTES = 16384  # more than a pty holds


class SerialPort:
    """The board's end of a pty; users open the symlink `link`."""

    def __init__(self, link: Path):
        self.link = link
        self.fd, slave = pty.openpty()
        self.device = os.ttyname(slave)
        os.set_blocking(self.fd, False)
        tty.setraw(self.fd)
        os.close(slave)  # from now on the kernel tells whether somebody has the port open
        self.is_open = False
        self.baud = DEFAULT_BAUD
        self._rest = b""
        unfinished = link.with_name(link.name + ".new")
        unfinished.unlink(missing_ok=True)
        unfinished.symlink_to(self.device)
        os.replace(unfinished, link)

    def close(self) -> None:
        if self.link.is_symlink() and os.readlink(self.link) == self.device:
            self.link.unlink()
        os.close(self.fd)

    def update(self) -> bool:
        """Looks whether the port is open, and at which speed. True when either changed."""
        before = (self.is_open, self.baud)
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        hung_up = dict(poll.poll(0)).get(self.fd, 0) & select.POLLHUP
        if not hung_up or self.is_open:
            self.baud = SPEEDS.get(termios.tcgetattr(self.fd)[5], DEFAULT_BAUD)
        if hung_up:
            self._keep_rest()
        self.is_open = not hung_up
        return (self.is_open, self.baud) != before

    def _keep_rest(self) -> None:
        """What was written before the port was closed still reaches the board."""
        while data := self._read_pty():
            self._rest = (self._rest + data)[:REST_BYTES]

    def reset_settings(self) -> None:
        """Raw mode at the default speed for the next program, whatever the last one left."""
        tty.setraw(self.fd)
        settings = termios.tcgetattr(self.fd)
        settings[4] = settings[5] = termios.B115200
        termios.tcsetattr(self.fd, termios.TCSANOW, settings)
        self.baud = DEFAULT_BAUD

    def read(self) -> bytes:
        """What users wrote, at most CHUNK_BYTES; b"" when there is nothing."""
        if not self._rest:
            return self._read_pty()
        data, self._rest = self._rest[:CHUNK_BYTES], self._rest[CHUNK_BYTES:]
        return data

    def _read_pty(self) -> bytes:
        try:
            return os.read(self.fd, CHUNK_BYTES)
        except OSError:  # nothing there, or nobody
            return b""

    def write(self, data: bytes) -> int:
        """Bytes that fitted into the pty."""
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            return 0
