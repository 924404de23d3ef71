"""What the board prints: bytes between frames on their way to a terminal."""

import codecs
from collections.abc import Callable

from fieldtune.text import printable

_KEPT = 2000


class Output:
    """Decodes, escapes, hands on. Keeps the end, for the message when a board gives up."""

    def __init__(self, on_text: Callable[[str], None] | None):
        self._on_text = on_text
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._end = ""
        self._full_stops = 0
        self._tail = b""
        self.bytes = 0

    @property
    def ended(self) -> bool:
        """Whether the code has: the raw REPL puts Ctrl-D behind output and traceback, then ">"."""
        return self._full_stops >= 2 and self._tail == b"\x04>"

    def take(self, data: bytes) -> None:
        self.bytes += len(data)
        self._full_stops += data.count(4)
        self._tail = (self._tail + data)[-2:]
        text = self._utf8.decode(data).replace("\r", "").replace("\x04", "")
        if text:
            text = "".join(c if c in "\n\t" else printable(c) for c in text)
            self._end = (self._end + text)[-_KEPT:]
            if self._on_text:
                self._on_text(text)

    def last_words(self) -> str:
        """The end of what was printed, without the prompt behind it."""
        return self._end.strip().removesuffix(">").rstrip()
