"""Samples from files and standard input: .npy, .npz, .csv, or CSV lines on stdin.

A sample is a row, or with `window` that many rows after one another, flattened row by row. An
empty line in a CSV ends a recording: no window spans it.
"""

import csv
import io
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np

from fieldtune.errors import UsageError
from fieldtune.text import printable

STDIN = "-"
LABELS = range(256)  # a byte each on the way to the board
FLOAT32_MOST = float(np.finfo(np.float32).max)

Row = tuple[np.ndarray, int | None]  # float32 [width] and its label, if there is one


@dataclass(frozen=True)
class Samples:
    """Iterates over (float32 [width], label or None). Files can be iterated again, stdin once.

    `count` is None while nobody knows how many there will be.
    """

    name: str
    width: int
    labelled: bool
    count: int | None
    rows: Callable[[], Iterator[Row]] = field(repr=False)

    def __iter__(self) -> Iterator[Row]:
        return self.rows()

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError("the number of samples is not known before they have come")
        return self.count

    def arrays(self) -> tuple[np.ndarray, np.ndarray | None]:
        """All of them: float32 [N, width] and int64 [N], or None without labels."""
        x, y = zip(*self, strict=True)
        return np.stack(x), np.array(y, np.int64) if self.labelled else None


@dataclass(frozen=True)
class Recording:
    """Rows without a gap: float32 [N, columns] and int64 [N] or None."""

    x: np.ndarray
    y: np.ndarray | None


@dataclass(frozen=True)
class Windows:
    """How rows become samples: `size` rows each, a new one every `stride` rows."""

    size: int = 1
    stride: int = 1

    def starts(self, rows: int) -> range:
        return range(0, rows - self.size + 1, self.stride)


def open(  # noqa: A001 - read as sources.open
    path: str | Path,
    window: int | None = None,
    stride: int | None = None,
    label: str | None = None,
    stdin: TextIO | None = None,
) -> Samples:
    """Opens a source; "-" is standard input. `label` names the column, or the array of a .npz.

    The label of a window is that of its last row. Raises UsageError with file, line and column
    when something in it is not a finite number, and when there is not a single sample.
    """
    windows = _windows(window, stride)
    if str(path) == STDIN:
        return _stream(stdin or sys.stdin, windows, label)
    path = Path(path)
    readers = {".npy": _npy, ".npz": _npz, ".csv": _csv_file}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"{_shown(path)}: not a .npy, .npz or .csv file")
    try:
        recordings = reader(path, label)
    except OSError as error:
        raise UsageError(f"{_shown(path)} cannot be read", error.strerror or str(error)) from error
    return _from_recordings(_shown(path), recordings, windows)


def _windows(window: int | None, stride: int | None) -> Windows:
    if window is None and stride is not None:
        raise UsageError("--stride needs --window")
    for name, value in (("window", window), ("stride", stride)):
        if value is not None and value < 1:
            raise UsageError(f"--{name} {value}", "it is 1 row or more")
    size = window or 1
    return Windows(size, stride or size)


def _from_recordings(name: str, recordings: list[Recording], windows: Windows) -> Samples:
    longest = max((len(each.x) for each in recordings), default=0)
    if longest < windows.size:
        why = f"a window has {windows.size} rows, the longest recording {longest}"
        raise UsageError(f"{name}: not a single sample", why if longest else "there is no row")

    def rows() -> Iterator[Row]:
        for each in recordings:
            for start in windows.starts(len(each.x)):
                end = start + windows.size
                label = None if each.y is None else int(each.y[end - 1])
                yield each.x[start:end].reshape(-1), label

    width = recordings[0].x.shape[1] * windows.size
    count = sum(len(windows.starts(len(each.x))) for each in recordings)
    return Samples(name, width, recordings[0].y is not None, count, rows)


# .npy and .npz


def _npy(path: Path, label: str | None) -> list[Recording]:
    if label is not None:
        raise UsageError(f"{_shown(path)}: a .npy file has no column '{printable(label)}'")
    with path.open("rb") as source:
        return [_recording(_shown(path), _load(path, source), None)]


def _npz(path: Path, label: str | None) -> list[Recording]:
    with path.open("rb") as source:
        arrays = _load(path, source)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise UsageError(f"{_shown(path)}: not a .npz file")
        for needed in {"x", label} - {None}:
            if needed not in arrays.files:
                found = printable(", ".join(arrays.files))
                raise UsageError(f"{_shown(path)}: no array {needed!r}", f"it holds {found}")
        label = label or ("y" if "y" in arrays.files else None)
        x = _member(path, arrays, "x")
        y = None if label is None else _member(path, arrays, label)
        return [_recording(_shown(path), x, y)]


_BROKEN = (ValueError, EOFError, KeyError, zipfile.BadZipFile, MemoryError, OverflowError)


def _load(path: Path, source: io.BufferedReader):
    try:
        return np.load(source, allow_pickle=False)
    except _BROKEN as error:
        raise UsageError(f"{_shown(path)}: not a numpy file", printable(error)) from None


def _member(path: Path, arrays, name: str) -> np.ndarray:
    try:
        return arrays[name]
    except _BROKEN as error:
        what = f"{_shown(path)}: array '{printable(name)}' cannot be read"
        raise UsageError(what, printable(error)) from None


def _recording(name: str, x: np.ndarray, y: np.ndarray | None) -> Recording:
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiub" or x.ndim < 1 or not x.size:
        raise UsageError(f"{name}: x is not an array of real numbers, one row a sample")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(x.reshape(len(x), -1), np.float32)
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, column = bad[0]
        value = x.reshape(len(x), -1)[row, column]
        raise UsageError(f"{name}: row {row}, column {column} (from 0) is {value}", _FINITE)
    if y is None:
        return Recording(rows, None)
    if y.shape != (len(x),) or y.dtype.kind not in "fiub":
        raise UsageError(f"{name}: the labels are not one number for each of the {len(x)} rows")
    wrong = np.flatnonzero(~((y >= LABELS[0]) & (y <= LABELS[-1]) & (y == np.floor(y))))
    if len(wrong):
        raise UsageError(f"{name}: row {wrong[0]} (from 0) has the label {y[wrong[0]]}", _LABEL)
    return Recording(rows, y.astype(np.int64))


_FINITE = "samples are finite numbers that fit float32"
_LABEL = f"a label is a whole number of 0 to {LABELS[-1]}"


# CSV


class _Csv:
    """Rows of a CSV text. A first line that holds nothing but numbers is a row, not a header:
    the columns are then called 1, 2, 3, ..."""

    def __init__(self, name: str, text: TextIO, label: str | None):
        self.name, self.label = name, label
        self._reader = csv.reader(text, strict=True)
        self._first = None
        first = next((row for row in self._lines() if row), None)
        if first is None:
            raise UsageError(f"{name}: not a single sample", "there is no row")
        self.columns = [each.strip() for each in first]
        if all(_number(each) is not None for each in first):
            self._first = first
            self.columns = [str(i + 1) for i in range(len(first))]
        self._label_at = self._find_label()
        self.width = len(self.columns) - (self._label_at is not None)
        if not self.width:
            raise UsageError(f"{name}: no column but the label")

    def _lines(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            what = f"{self.name}, line {self._reader.line_num}: not CSV text"
            raise UsageError(what, printable(error)) from None
        except UnicodeDecodeError as error:
            raise UsageError(f"{self.name}: not UTF-8 text", printable(error)) from None

    def _find_label(self) -> int | None:
        if self.label is None:
            return None
        if self.columns.count(self.label) != 1:
            found = printable(", ".join(self.columns))
            what = f"{self.name}, line 1: no one column '{printable(self.label)}'"
            raise UsageError(what, f"the columns are {found}")
        return self.columns.index(self.label)

    def __iter__(self) -> Iterator[Row | None]:
        """Every row; None where an empty line ends a recording."""
        if self._first is not None:
            yield self._row(self._first)
        for fields in self._lines():
            blank = not any(each.strip() for each in fields)
            yield None if blank else self._row(fields)

    def _row(self, fields: list[str]) -> Row:
        if len(fields) != len(self.columns):
            at = f"{self.name}, line {self._reader.line_num}"
            missing = len(fields) < len(self.columns)
            which = (
                f"column '{printable(self.columns[len(fields)])}' is missing" if missing else ""
            )
            what = which or f"{len(fields)} columns"
            raise UsageError(f"{at}: {what}", f"the first line has {len(self.columns)} columns")
        values = [_number(each) for each in fields]
        if not all(v is not None and abs(v) <= FLOAT32_MOST for v in values):
            self._refuse(fields, values)
        label = None
        if self._label_at is not None:
            number = values.pop(self._label_at)
            if number not in LABELS:
                raise self._wrong(self._label_at, fields, _LABEL)
            label = int(number)
        return np.array(values, np.float32), label

    def _refuse(self, fields: list[str], values: list[float | None]) -> None:
        for column, value in enumerate(values):
            if value is None:
                raise self._wrong(column, fields, "it is not a number")
            if not abs(value) <= FLOAT32_MOST:
                raise self._wrong(column, fields, _FINITE)

    def _wrong(self, column: int, fields: list[str], why: str) -> UsageError:
        at = f"{self.name}, line {self._reader.line_num}, column {self.columns[column]!r}"
        return UsageError(printable(f"{at}: {fields[column]!r}", 400), why)


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _csv_file(path: Path, label: str | None) -> list[Recording]:
    # A byte that is not UTF-8 is kept, so that the error about it can name line and column.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        recordings, rows = [], []
        for row in [*_Csv(_shown(path), text, label), None]:
            if row is not None:
                rows.append(row)
            elif rows:
                x, y = zip(*rows, strict=True)
                labels = None if label is None else np.array(y, np.int64)
                recordings.append(Recording(np.stack(x), labels))
                rows = []
        return recordings


def _stream(text: TextIO, windows: Windows, label: str | None) -> Samples:
    """CSV lines as they come. Nothing but the present window is kept."""
    table = _Csv("standard input", text, label)

    def rows() -> Iterator[Row]:
        kept: deque[np.ndarray] = deque()
        skip = 0
        for row in table:
            if row is None:
                kept.clear()
                skip = 0
            elif skip:
                skip -= 1
            else:
                kept.append(row[0])
                if len(kept) == windows.size:
                    yield np.concatenate(kept), row[1]
                    skip = max(0, windows.stride - windows.size)
                    for _ in range(min(windows.stride, windows.size)):
                        kept.popleft()

    width = table.width * windows.size
    return Samples("standard input", width, label is not None, None, rows)


def _shown(path: Path) -> str:
    return printable(path, 400)
