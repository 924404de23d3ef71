"""MicroPython, the Pico's SDK and TinyUSB: fetched, checked, unpacked, adapted."""

import hashlib
import os
import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from fieldtune import tree
from fieldtune.build import debian, digest, edits
from fieldtune.build.workspace import Lock, new_folder, run, scratch_folder
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError, UsageError

MICROPYTHON_VERSION = "1.25.0"

# SHA-256 of upstream's tarball as Debian carries it (micropython_1.25.0+ds.orig.tar.xz).
MICROPYTHON = "7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea"

# Digests (build/digest.py) of /usr/src/NAME in the packages NAME-source, pico-sdk 2.1.1 and
# tinyusb 0.18.0: any Debian revision with these very files will do.
PACKAGES = {
    "pico-sdk": "48fce7d6e904aea484b0f7ea54b7aad0736f6160f774e317bd856779794c8ed0",
    "tinyusb": "568cef391d934ef5f1da5e41e87f534abc10f3273f36161830d3decece68edf2",
}

# What a build reads of a checkout.
_PARTS = [
    "drivers",
    "extmod",
    "lib",
    "mpy-cross",
    "ports/rp2",
    "ports/unix",
    "py",
    "shared",
    "tools",
]


@dataclass(frozen=True)
class Sources:
    """Unpacked trees. `pico_sdk` and `tinyusb` are there when they were asked for."""

    micropython: Path
    pico_sdk: Path
    tinyusb: Path


@dataclass(frozen=True)
class Origin:
    """Where sources come from: Debian (of `mirror`, or the machine's own), or a checkout."""

    mirror: str | None = None
    checkout: Path | None = None

    def identity(self, with_sdk: bool) -> str:
        """What tells these sources from others, known before anything is fetched."""
        if self.checkout is None:
            pins = [MICROPYTHON, *(PACKAGES.values() if with_sdk else ())]
            return f"micropython {MICROPYTHON_VERSION} {' '.join(pins)}"
        return f"checkout {_checkout_digest(self.checkout)}"

    def fetch(self, with_sdk: bool, log: Path, lock: Lock, console: Console) -> Sources:
        """The trees, from the cache when they are there. Raises FieldtuneError."""
        if self.checkout is not None:
            return _from_checkout(self.checkout, with_sdk)
        archive = _Lazy(self.mirror, log, lock, console)
        micropython = _micropython(archive)
        sdk = _packages(archive) if with_sdk else tree.cache()
        return Sources(micropython, sdk / "pico-sdk", sdk / "tinyusb")


class _Lazy:
    """Debian's archive, looked at when something is wanted from it."""

    def __init__(self, mirror: str | None, log: Path, lock: Lock, console: Console):
        self.mirror, self.log, self.lock, self.console = mirror, log, lock, console
        self._archive: debian.Archive | None = None

    def open(self) -> debian.Archive:
        if self._archive is None:
            self._archive = debian.Archive(self.mirror, self.log, self.lock)
            self.console.info(f"fetching sources from Debian {debian.SUITE}, {self._archive.url}")
        return self._archive


def _folder(name: str, *identity: str) -> Path:
    key = hashlib.sha256(" ".join(identity).encode()).hexdigest()[:12]
    return tree.cache() / "sources" / f"{name}-{key}"


def _scratch() -> Path:
    return tree.cache() / "sources" / ".download"


def _micropython(archive: _Lazy) -> Path:
    final = _folder("micropython", MICROPYTHON, repr(edits.EDITS))
    if final.is_dir():
        return final
    with new_folder(final) as folder, scratch_folder(_scratch()) as download:
        tarball = archive.open().source("micropython", download)
        found = hashlib.sha256(tarball.read_bytes()).hexdigest()
        if found != MICROPYTHON:
            raise _changed("micropython", MICROPYTHON, found)
        with tarfile.open(tarball) as content:
            safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            content.extractall(download / "unpacked", **safe)
        (top,) = (download / "unpacked").iterdir()
        for entry in top.iterdir():
            entry.rename(folder / entry.name)
        edits.apply(folder)
    return final


def _packages(archive: _Lazy) -> Path:
    final = _folder("pico", *PACKAGES.values())
    if final.is_dir():
        return final
    with new_folder(final) as folder, scratch_folder(_scratch()) as download:
        for name, pinned in PACKAGES.items():
            package = archive.open().package(f"{name}-source", download)
            command = ["dpkg-deb", "-x", package, download / "unpacked"]
            run(command, f"unpacking {package.name}", archive.log, archive.lock, os.environ)
            unpacked = download / "unpacked" / "usr" / "src" / name
            found = digest.of_tree(unpacked) if unpacked.is_dir() else "nothing"
            if found != pinned:
                raise _changed(f"{name}-source", pinned, found)
            unpacked.rename(folder / name)
    return final


def _changed(package: str, pinned: str, found: str) -> FieldtuneError:
    return FieldtuneError(
        f"Debian's {package} is not the version fieldtune is built from",
        f"its digest is {found}, not {pinned}",
        "update fieldtune, or name a checkout of MicroPython 1.25.0: --micropython DIR",
    )


def _checkout_digest(checkout: Path) -> str:
    _check_checkout(checkout)
    total = hashlib.sha256()
    for part in _PARTS:
        total.update(digest.of_tree(checkout / part).encode())
    return total.hexdigest()


def _check_checkout(checkout: Path) -> None:
    missing = [part for part in _PARTS if not (checkout / part).is_dir()]
    if missing:
        raise UsageError(
            f"{checkout} is no checkout of MicroPython",
            f"it has no {missing[0]}/",
            f"git clone --branch v{MICROPYTHON_VERSION} MicroPython's repository there",
        )


def _from_checkout(checkout: Path, with_sdk: bool) -> Sources:
    needed = {"pico-sdk": "pico_sdk_init.cmake", "tinyusb": "src/tusb.h"} if with_sdk else {}
    for name, file in needed.items():
        if not (checkout / "lib" / name / file).is_file():
            raise UsageError(
                f"{checkout} lacks lib/{name}",
                "it is a git submodule that has not been fetched",
                f"git -C {checkout} submodule update --init lib/{name}",
            )
    final = _folder("checkout", _checkout_digest(checkout), repr(edits.EDITS))
    if not final.is_dir():
        with new_folder(final) as folder:
            for part in _PARTS:
                no_git = shutil.ignore_patterns(".git", "build", "build-*", "__pycache__")
                shutil.copytree(checkout / part, folder / part, symlinks=True, ignore=no_git)
            edits.apply(folder)
    return Sources(final, final / "lib" / "pico-sdk", final / "lib" / "tinyusb")


def version_tag(micropython: Path) -> str:
    """The version a MicroPython tree says it has, as v1.25.0."""
    text = (micropython / "py" / "mpconfig.h").read_text(encoding="utf-8")
    numbers = (
        re.search(rf"#define MICROPY_VERSION_{part} (\d+)", text)
        for part in ("MAJOR", "MINOR", "MICRO")
    )
    return "v" + ".".join(number.group(1) for number in numbers if number)
