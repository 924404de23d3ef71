"""Where the project's own trees and the user's folders are."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def source(*parts: str) -> Path:
    """A path below boards/, device/ or native_modules/, in the checkout or in the wheel."""
    installed = _PACKAGE / "_tree"
    return (installed if installed.is_dir() else _PACKAGE.parent.parent).joinpath(*parts)


def shipped_images() -> Path:
    """Where a wheel carries firmware built when the wheel was."""
    return _PACKAGE / "_images"


def _folder(variable: str, xdg: str, default: str) -> Path:
    if os.environ.get(variable):
        return Path(os.environ[variable])
    return Path(os.environ.get(xdg) or Path.home() / default) / "fieldtune"


def cache() -> Path:
    """Downloads, unpacked sources and builds: can be deleted at any time."""
    return _folder("FIELDTUNE_CACHE", "XDG_CACHE_HOME", ".cache")


def state() -> Path:
    """Emulated boards: their flash, their registry."""
    return _folder("FIELDTUNE_STATE", "XDG_STATE_HOME", ".local/state")


def runs() -> Path:
    """Recorded runs, one folder each."""
    return Path(os.environ.get("FIELDTUNE_RUNS") or "runs")
