"""The compilers of a build: are they there, which are they, and the environment they run in."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from fieldtune import tree
from fieldtune.build.workspace import Lock, new_folder, run
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError
from fieldtune.setup import packages

# The day of MicroPython 1.25.0, for programs that want to know when they were built.
SOURCE_DATE_EPOCH = "1744675200"

_HOST_PACKAGES = {"gcc", "libc6-dev", "make"}


def missing(cross: bool) -> list[str]:
    """Debian packages that a build for the boards (`cross`) or for this machine lacks."""
    lacking = [name for name in packages.missing() if name != "dpkg-dev"]
    return lacking if cross else [name for name in lacking if name in _HOST_PACKAGES]


def require(cross: bool) -> None:
    """Raises FieldtuneError with the line that brings what is missing."""
    lacking = missing(cross)
    if lacking:
        raise FieldtuneError(
            "the image cannot be built here",
            f"this machine lacks {', '.join(lacking)}",
            packages.install_line(lacking),
        )


def identity(compiler: str, flags: list[str], libraries: list[str]) -> str:
    """The compiler's version and digests of the C libraries it links for `flags`."""
    version = _ask(compiler, "--version").splitlines()[0]
    target = _ask(compiler, "-dumpmachine")
    digests = []
    for library in libraries:
        path = Path(_ask(compiler, *flags, f"-print-file-name={library}"))
        if path.is_file():
            digests.append(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    return " ".join([version, target, *digests])


def _ask(compiler: str, *arguments: str) -> str:
    done = subprocess.run([compiler, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def environment(hidden: dict[Path, str]) -> dict[str, str]:
    """Variables for a build whose bytes do not depend on where and when it runs.

    `hidden` gives the names under which folders appear inside the binary.
    """
    maps = " ".join(f"-ffile-prefix-map={path}={name}" for path, name in hidden.items())
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    return kept | {
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": SOURCE_DATE_EPOCH,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # the order of sets
        "CFLAGS_EXTRA": maps,
        "CXXFLAGS": maps,
        "ASMFLAGS": maps,
    }


def mpy_cross(micropython: Path, log: Path, lock: Lock, console: Console) -> Path:
    """The cross compiler of Python modules, built once for a source tree and a host compiler."""
    who = hashlib.sha256(f"{micropython.name} {identity('gcc', [], [])}".encode()).hexdigest()[:12]
    final = tree.cache() / "tools" / f"mpy-cross-{who}"
    if not final.is_dir():
        console.info("building mpy-cross, the compiler of Python modules")
        env = environment({micropython: "micropython"}) | {"MICROPY_GIT_TAG": "v1"}
        with new_folder(final) as folder:
            make = ["make", f"-j{jobs()}", "-C", micropython / "mpy-cross", f"BUILD={folder}"]
            run([*make, f"PYTHON={sys.executable}"], "building mpy-cross", log, lock, env)
    return final / "mpy-cross"


def jobs() -> int:
    return os.cpu_count() or 1
