"""Lines of a file that others still write: standard input, a pipe from a sensor."""

import codecs
import os
import select
from collections import deque
from collections.abc import Callable, Iterator

_CHUNK = 65536
_PAUSE = 0.1  # seconds between two looks at everything else


class Lines:
    """Iterates over the lines of the file descriptor `fd`, UTF-8, each as soon as it is there.

    While none is, `idle` is called every 0.1 s. Bytes that are not UTF-8 become surrogates.
    """

    def __init__(self, fd: int):
        self._fd = fd
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape").decode
        self._lines: deque[str] = deque()
        self._rest = ""
        self._ended = False
        self.idle: Callable[[], None] = lambda: None

    @property
    def ready(self) -> bool:
        """Whether a line can be had without waiting."""
        while not self._lines and not self._ended and self._readable(0):
            self._read()
        return bool(self._lines)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while not self._lines:
            if self._ended:
                raise StopIteration
            if self._readable(_PAUSE):
                self._read()
            else:
                self.idle()
        return self._lines.popleft()

    def _readable(self, seconds: float) -> bool:
        return bool(select.select([self._fd], [], [], seconds)[0])

    def _read(self) -> None:
        data = os.read(self._fd, _CHUNK)
        *whole, self._rest = (self._rest + self._decode(data, not data)).split("\n")
        self._lines.extend(line + "\n" for line in whole)
        if not data:
            self._ended = True
            if self._rest:
                self._lines.append(self._rest)
