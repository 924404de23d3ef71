"""The Debian packages that builds need: which are missing, and the line that installs them.

`make` runs this with the system's python3 before there is a virtual environment, so it imports the
standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

PYTHON = (3, 11)


@dataclass(frozen=True)
class Package:
    """A Debian package, what it is for, and where this machine has what it brings ("": nowhere).

    `found` looks for the thing itself, so that a compiler from elsewhere counts too.
    """

    name: str
    purpose: str
    found: Callable[[], str]


def _command(name: str) -> str:
    return shutil.which(name) or ""


def _library(compiler: str, name: str) -> str:
    """Where `compiler` finds the file `name` that it links."""
    if not shutil.which(compiler):
        return ""
    asked = [compiler, f"-print-file-name={name}"]
    path = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return os.path.realpath(path) if os.path.isabs(path) and os.path.exists(path) else ""


def _module(name: str) -> str:
    spec = importlib.util.find_spec(name)
    return spec.origin if spec else ""


ARM = "arm-none-eabi-gcc"
PACKAGES = (
    Package("gcc-arm-none-eabi", "the boards' C compiler", partial(_command, ARM)),
    Package("libnewlib-arm-none-eabi", "its C library", partial(_library, ARM, "libc_nano.a")),
    Package(
        "libstdc++-arm-none-eabi-newlib",
        "its C++ library, which the Pico's SDK asks for",
        partial(_library, ARM, "libstdc++_nano.a"),
    ),
    Package("gcc", "this machine's C compiler", partial(_command, "gcc")),
    Package("libc6-dev", "its C library", partial(_library, "gcc", "crt1.o")),
    Package("cmake", "configures the Pico's build", partial(_command, "cmake")),
    Package("make", "runs the builds", partial(_command, "make")),
    Package("dpkg-dev", "unpacks Debian's source packages", partial(_command, "dpkg-source")),
)
VENV = Package("python3-venv", "makes the virtual environment", partial(_module, "ensurepip"))


def missing(packages: tuple[Package, ...] = PACKAGES) -> list[str]:
    """Names of the packages whose contents this machine lacks."""
    return [package.name for package in packages if not package.found()]


def install_line(names: list[str]) -> str:
    """The one line that brings `names`, for the person who is at the keyboard."""
    if not shutil.which("apt-get"):
        return f"install what Debian calls {', '.join(names)}"
    as_root = "" if os.geteuid() == 0 else "sudo "
    return f"{as_root}apt-get install -y {' '.join(names)}"


def _install(names: list[str]) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *names]):
        done = subprocess.run(["apt-get", *step], env=environment, stdin=subprocess.DEVNULL)
        if done.returncode:
            return False
    return True


def main() -> int:
    """Installs what is missing when root, otherwise says how. 0 when nothing is missing."""
    if sys.version_info < PYTHON:
        here, least = (".".join(map(str, v[:2])) for v in (sys.version_info, PYTHON))
        sys.stderr.write(f"error: python3 is {here}, fieldtune needs {least} or newer\n")
        sys.stderr.write(f"do: make PYTHON=python{least}\n")
        return 1
    packages = (*PACKAGES, VENV)
    names = missing(packages)
    if names and os.geteuid() == 0 and shutil.which("apt-get"):
        sys.stderr.write(f"installing {' '.join(names)}\n")
        if _install(names):
            names = missing(packages)
    if not names:
        return 0
    sys.stderr.write(f"error: this machine lacks {', '.join(names)}\n")
    sys.stderr.write(f"do: {install_line(names)}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
