"""What a command prints: results on stdout, everything else where it cannot spoil them."""

import json
import sys
from collections.abc import Iterable


class Console:
    """One command's output. With `as_json` stdout carries a single JSON document and nothing else."""

    def __init__(self, as_json: bool = False):
        self.as_json = as_json

    def info(self, line: str) -> None:
        """A line about what is going on."""
        print(line, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def result(self, data: object, lines: Iterable[str] = ()) -> None:
        """The command's result: `data` for programs, `lines` for people."""
        if self.as_json:
            print(json.dumps(data, indent=2), flush=True)
            return
        for line in lines:
            print(line, flush=True)

    def progress(self, total: int, label: str, unit: str = "B"):
        """A progress bar on a terminal, a line about every tenth elsewhere; used as a context manager.

        The object has `update(n)`.
        """
        if sys.stderr.isatty():
            from tqdm import tqdm

            return tqdm(total=total, desc=label, unit=unit, unit_scale=unit == "B", file=sys.stderr)
        return _Lines(self, total, label, unit)


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
