"""What a command prints: results on stdout, everything else where it cannot spoil them."""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import PurePath

from fieldtune.errors import FieldtuneError
from fieldtune.text import printable


def shown(text: str) -> str:
    """`text` with nothing in it that could steer a terminal; its lines stay lines."""
    return "\n".join(printable(line, 10 * len(line)) for line in text.expandtabs().splitlines())


def plain(data: object) -> object:
    """`data` as what JSON has: numpy's values become lists and numbers, NaN and infinity null."""
    if hasattr(data, "tolist"):
        data = data.tolist()
    if isinstance(data, dict):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return None
    return str(data) if isinstance(data, PurePath) else data


class Console:
    """One command's output. With `as_json` stdout carries one JSON document and nothing else."""

    def __init__(self, as_json: bool = False):
        self.as_json = as_json
        self._answered = False
        self._bar = None

    def info(self, line: str) -> None:
        """A line about what is going on."""
        stream = sys.stderr if self.as_json else sys.stdout
        if self._bar is None:
            print(shown(line), file=stream, flush=True)
        else:
            self._bar.write(shown(line), file=stream)

    def output(self, data: bytes) -> None:
        """What the user's own program wrote, as it came."""
        stream = sys.stderr if self.as_json else sys.stdout
        stream.buffer.write(data)
        stream.flush()

    def result(self, data: object, lines: Iterable[str] = ()) -> None:
        """The command's result: `data` for programs, `lines` for people."""
        self._answered = True
        if self.as_json:
            print(json.dumps(plain(data), indent=2, allow_nan=False), flush=True)
            return
        for line in lines:
            print(shown(line), flush=True)

    def error(self, error: FieldtuneError, exit_code: int) -> None:
        """What went wrong: three lines on stderr, and the JSON document if there was none yet."""
        parts = {"what": error.what, "why": error.why, "do": error.do}
        for label, text in zip(("error", "why", "do"), parts.values(), strict=True):
            if text:
                print(f"{label}: {shown(text)}", file=sys.stderr, flush=True)
        if self.as_json and not self._answered:
            self.result({"error": {**parts, "exit_code": exit_code}})

    def progress(self, total: int, label: str, unit: str = "B"):
        """A progress bar on a terminal, a line about every tenth elsewhere.

        Used as a context manager; the object has `update(n)`.
        """
        if not sys.stderr.isatty():
            return _Lines(self, total, label, unit)
        return _Bar(self, total, label, unit)


class _Bar:
    """Progress for a person. Lines printed meanwhile appear above the bar."""

    def __init__(self, console: Console, total: int, label: str, unit: str):
        from tqdm import tqdm

        self._console = console
        self._tqdm = tqdm(
            total=total, desc=label, unit=unit, unit_scale=unit == "B", file=sys.stderr
        )
        self.update = self._tqdm.update

    def __enter__(self):
        self._console._bar = self._tqdm
        return self

    def __exit__(self, *_exc):
        self._console._bar = None
        self._tqdm.close()
        return False


class _Lines:
    """Progress for a log file."""

    def __init__(self, console: Console, total: int, label: str, unit: str):
        self.console, self.total, self.label, self.unit = console, max(total, 1), label, unit
        self.done = 0
        self.tenths = 0

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        return False

    def update(self, n: int) -> None:
        self.done += n
        tenths = min(10, self.done * 10 // self.total)
        if tenths > self.tenths:
            self.tenths = tenths
            self.console.info(f"{self.label}: {tenths * 10:3d} % of {self.total} {self.unit}")
