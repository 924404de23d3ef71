"""Processes by identity: a pid alone may belong to somebody else by now."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def start_time(pid: int) -> str | None:
    """When process `pid` started, in the kernel's terms; None when it does not run."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True
    ).stdout
    return shown.strip() or None


def runs(pid: int, started: str) -> bool:
    """Whether `pid` is still the process that started at `started`."""
    return pid > 0 and start_time(pid) == started


def end_with_parent() -> None:
    """To be called in a child before exec: the kernel ends it when its parent dies."""
    if os.uname().sysname == "Linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
