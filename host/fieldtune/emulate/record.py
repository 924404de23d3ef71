"""board.json: what is known of one emulated board, and the folder it lies in."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

from fieldtune import tree
from fieldtune.emulate import bootsel, process

STARTING, RUNNING, BOOTSEL = "starting", "running", "bootsel"
HALTED, STOPPED = "halted", "stopped"


@dataclass
class EmulatedBoard:
    """One emulated board, running or not."""

    name: str
    board: str
    serial: str  # 16 hex digits, what machine.unique_id() of a chip is
    image: str = ""  # the program of a simulator
    pid: int = 0  # of its keeper
    started: str = ""  # when that process did
    state: str = STOPPED

    @property
    def folder(self) -> Path:
        return folder(self.name)

    @property
    def device(self) -> Path:
        """The serial port."""
        return self.folder / "port"

    @property
    def flash(self) -> Path:
        return self.folder / "flash.bin"

    @property
    def files(self) -> Path:
        """Where a simulator's files are."""
        return self.folder / "files"

    @property
    def drive(self) -> Path:
        """Where the BOOTSEL drive appears."""
        return self.folder / bootsel.DRIVE

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def alive(self) -> bool:
        return process.runs(self.pid, self.started)

    def save(self) -> None:
        path = self.folder / "board.json"
        unfinished = path.with_name(f"board.json.{os.getpid()}")
        with open(unfinished, "w", opener=private) as file:
            json.dump(dataclasses.asdict(self), file, indent=2)
        os.replace(unfinished, path)


def private(path: str, flags: int) -> int:
    """An opener for files that are nobody else's business."""
    return os.open(path, flags, 0o600)


def folder(name: str) -> Path:
    return tree.state().absolute() / "emulators" / name


def load(name: str) -> EmulatedBoard | None:
    """The board of that name; None when there is none or its record is not readable."""
    try:
        fields = json.loads((folder(name) / "board.json").read_text())
        return EmulatedBoard(**fields)
    except (OSError, ValueError, TypeError):
        return None
