"""Recorded runs: a folder each, with run.json, append-only metrics.jsonl and the models.

The writer holds a lock on metrics.jsonl, so that a run that was cut off is told from one that is
still going on.
"""

import fcntl
import json
import math
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fieldtune import tree
from fieldtune.errors import FieldtuneError, UsageError
from fieldtune.text import printable

INFO, METRICS, LAST = "run.json", "metrics.jsonl", "last"
INTERRUPTED = 130


class Run:
    """One run. `info` is run.json: task, started, board, image, model, seed, settings; when it is
    over finished, exit, result, link.

    As a context manager it records the exit code of the exception that ends it.
    """

    def __init__(self, path: Path, info: dict):
        self.path, self.info = path, info
        self._out = None

    @classmethod
    def create(cls, task: str, info: dict | None = None, root: Path | None = None) -> "Run":
        """Starts a run of `task` in a folder of its own, named by the time in UTC.

        Raises FieldtuneError when it cannot be made.
        """
        started = datetime.now(UTC)
        root = root or tree.runs()
        try:
            path = _new_folder(root, f"{started:%Y%m%dT%H%M%SZ}-{task}")
            run = cls(path, {"task": task, "started": started.isoformat(), **(info or {})})
            run._out = os.fdopen(_create(path / METRICS), "w", encoding="utf-8")
        except OSError as error:
            raise _cannot_write(root, error) from error
        fcntl.flock(run._out, fcntl.LOCK_EX)
        run._save()
        return run

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def state(self) -> str:
        """running, interrupted, stopped (by Ctrl-C, in order), done or failed."""
        if "exit" in self.info:
            return {0: "done", INTERRUPTED: "stopped"}.get(self.info["exit"], "failed")
        try:
            with (self.path / METRICS).open("rb") as held:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return "interrupted"
        except OSError:
            return "running"
        return "interrupted"

    def metric(self, record: dict) -> None:
        """Appends a record; it is in the file when this returns."""
        try:
            self._out.write(json.dumps(_plain(record)) + "\n")
            self._out.flush()
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def update(self, info: dict) -> None:
        """Adds to run.json."""
        self.info.update(info)
        self._save()

    def keep(self, name: str, data: bytes) -> Path:
        """Writes a file, such as a model, into the run's folder. Returns its path."""
        path = self.path / name
        try:
            _replace(path, data)
        except OSError as error:
            raise _cannot_write(path, error) from error
        return path

    def finish(self, info: dict) -> None:
        """Ends the run. `info`: result, link (statistics) and exit (0 when it is left out)."""
        self.update({"exit": 0, **info, "finished": datetime.now(UTC).isoformat()})
        self._out.close()

    def metrics(self) -> list[dict]:
        """The records. A last line that was cut off is left out; raises UsageError on another."""
        try:
            lines = (self.path / METRICS).read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return []
        records = []
        for number, line in enumerate(lines[:-1], 1):
            try:
                records.append(_object(line))
            except ValueError:
                what = f"{printable(self.path / METRICS)}, line {number}: not a record"
                raise UsageError(what) from None
        return records

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, _kind, error, _trace) -> None:
        if "exit" in self.info:
            return
        if error is None:
            self.finish({})
            return
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
        # The folder itself may be what failed: the first error is the one to show.
        with suppress(FieldtuneError):
            self.finish({"exit": getattr(error, "exit_code", code), "error": str(error)})

    def _save(self) -> None:
        self.keep(INFO, (json.dumps(_plain(self.info), indent=2) + "\n").encode())


def load(name: str | Path, root: Path | None = None) -> Run:
    """The run with that id, `last`, or the run in that folder. Raises UsageError."""
    root = root or tree.runs()
    if str(name) == LAST:
        runs = list_runs(root)
        if not runs:
            raise UsageError(f"no run in {printable(root)}", do="host stream makes one")
        return runs[-1]
    path = Path(name) if os.sep in str(name) else root / name
    try:
        info = _object((path / INFO).read_text(encoding="utf-8"))
    except OSError:
        why = f"there is no {printable(path / INFO)}"
        raise UsageError(f"no run '{printable(name)}'", why, "host metrics list") from None
    except ValueError:
        raise UsageError(f"{printable(path / INFO)} is not a run's") from None
    return Run(path, info)


def list_runs(root: Path | None = None) -> list[Run]:
    """The recorded runs, oldest first; folders that hold none are passed over."""
    found = []
    for path in (root or tree.runs()).glob(f"*/{INFO}"):
        with suppress(UsageError):
            found.append(load(path.parent.resolve()))
    return sorted(found, key=lambda run: (str(run.info.get("started", "")), run.id))


def _object(text: str) -> dict:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _new_folder(root: Path, name: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 1000):
        path = root / (name if attempt == 1 else f"{name}-{attempt}")
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            return path
    raise FileExistsError(f"{name}: a thousand runs in one second")


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with os.fdopen(_create(temporary), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _cannot_write(path: Path, error: OSError) -> FieldtuneError:
    return FieldtuneError(f"{printable(path)} cannot be written", error.strerror or str(error))


def _plain(value: object) -> object:
    """What JSON can hold: numpy's numbers as Python's, NaN and infinities as null."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)
