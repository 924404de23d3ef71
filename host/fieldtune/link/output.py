"""What the board prints: bytes between frames on their way to a terminal."""

import codecs
from collections.abc import Callable

from fieldtune.text import printable

_KEPT = 2000
_FULL_STOP = b"\x04"  # of the raw REPL: one behind the output, one behind the traceback
_PROMPT = b"\x04>"


class Output:
    """Decodes, escapes, hands on. Keeps the end, for the message when a board gives up."""

    def __init__(self, on_text: Callable[[str], None] | None):
        self._on_text = on_text
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._full_stops = 0
        self._last = b""
        self._end = ""
        self.bytes = 0
        self.ended = False  # the code on the board has: its prompt was seen

    def take(self, data: bytes) -> None:
        if self.ended:
            return  # what the prompt says to frames that come too late
        self.bytes += len(data)
        data = self._up_to_prompt(data)
        text = self._utf8.decode(data).replace("\r", "").replace("\x04", "")
        if text:
            text = "".join(c if c in "\n\t" else printable(c) for c in text)
            self._end = (self._end + text)[-_KEPT:]
            if self._on_text:
                self._on_text(text)

    def _up_to_prompt(self, data: bytes) -> bytes:
        self._full_stops += data.count(_FULL_STOP)
        at = (self._last + data).find(_PROMPT)
        if self._full_stops >= 2 and at >= 0:
            self.ended = True
            return data[: max(0, at - len(self._last))]
        self._last = data[-1:]
        return data

    def last_words(self) -> str:
        """The end of what was printed."""
        return self._end.strip()
