"""Look at this machine: what is installed, what is missing and the line that brings it.

Exit code 0 when a Pico can be used from here: its image exists or can be built, and a board or the
emulator answers. Nothing is changed and nothing is fetched.
"""

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fieldtune import tree
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError
from fieldtune.setup import packages

OK, MISSING, NOTE = "ok", "missing", "note"
BOARD = "pico"
DEMO = {"scikit-learn": "sklearn", "scipy": "scipy", "matplotlib": "matplotlib"}


@dataclass(frozen=True)
class Finding:
    """One row: `status` is ok, missing (it stands in the way) or note (it does not)."""

    name: str
    status: str
    found: str
    do: str = ""


def python() -> Iterator[Finding]:
    enough = sys.version_info >= packages.PYTHON
    found = f"{platform.python_version()}, {sys.executable}"
    least = ".".join(map(str, packages.PYTHON))
    yield Finding("python", OK if enough else MISSING, found, "" if enough else f"Python {least}")


def toolchain() -> Iterator[Finding]:
    for package in packages.PACKAGES:
        found = package.found()
        if found:
            yield Finding(package.name, OK, found)
        else:
            do = packages.install_line([package.name])
            yield Finding(package.name, MISSING, package.purpose, do)


def sources() -> Iterator[Finding]:
    """Where apt would fetch Debian's source packages from, as it is set up now."""
    from fieldtune.build import debian

    mirror = debian.mirror()
    do = "host build --mirror URL, or --micropython DIR"
    found = "apt names none" if shutil.which("apt-get") else "no apt-get here"
    yield (
        Finding("Debian mirror", OK, mirror)
        if mirror
        else Finding("Debian mirror", MISSING, found, do)
    )


def image() -> Iterator[Finding]:
    """The Pico's image that fits these sources, built here or carried by the wheel."""
    from fieldtune.build import image

    present = image.current(BOARD)
    if present:
        yield Finding("Pico image", OK, f"build {present.build_id}, {present.path}")
    else:
        yield Finding("Pico image", NOTE, "not built yet", f"host build --board {BOARD}")


def node() -> Iterator[Finding]:
    from fieldtune.emulate import runtime

    yield Finding("Node.js", OK, str(runtime.node()))


def rp2040js() -> Iterator[Finding]:
    yield _made("rp2040js", "npm fetches it when first used", True)


def bootrom() -> Iterator[Finding]:
    yield _made("bootrom", "assembled when first used", bool(shutil.which(packages.ARM)))


def _made(name: str, later: str, possible: bool) -> Finding:
    """What the emulator makes for itself: carried by the wheel, cached, or still to be made."""
    for folder in (tree.shipped_images(), tree.cache()):
        for path in (folder / "emulator").glob(f"{name}-*"):
            if path.suffix in ("", ".bin"):
                return Finding(name, OK, str(path))
    do = f"host emulate --board {BOARD}"
    if possible:
        return Finding(name, NOTE, later, do)
    return Finding(name, MISSING, later, packages.install_line(["gcc-arm-none-eabi"]))


def demo() -> Iterator[Finding]:
    absent = [name for name, module in DEMO.items() if not importlib.util.find_spec(module)]
    if absent:
        line = f"{sys.executable} -m pip install {' '.join(absent)}"
        yield Finding("demo extra", NOTE, f"without {', '.join(absent)}", line)
    else:
        yield Finding("demo extra", OK, ", ".join(DEMO))


def command() -> Iterator[Finding]:
    """Which program `host` is: Debian's bind9-host has one of that name too."""
    first = shutil.which("host")
    own = Path(sys.executable).with_name("host")
    if not first:
        yield Finding("host", NOTE, "not on PATH", f"{own}, or python -m fieldtune")
    elif _is_ours(Path(first)):
        yield Finding("host", OK, first)
    else:
        do = "fieldtune is the same program as host" if shutil.which("fieldtune") else str(own)
        yield Finding("host", NOTE, f"{first} is another program", do)


def _is_ours(program: Path) -> bool:
    with program.open("rb") as file:
        return b"fieldtune" in file.read(4096)


def serial() -> Iterator[Finding]:
    """Whether this user may open serial ports."""
    ports = sorted(Path("/dev").glob("ttyACM*"))
    closed = [str(port) for port in ports if not os.access(port, os.R_OK | os.W_OK)]
    groups = _group_names()
    if closed:
        do = "usermod -aG dialout $USER as root, then log in again"
        yield Finding("serial ports", MISSING, f"{', '.join(closed)} not yours to open", do)
    elif os.geteuid() == 0 or ports or {"dialout", "uucp"} & groups:
        yield Finding("serial ports", OK, ", ".join(map(str, ports)) or "may be opened")
    else:
        do = "usermod -aG dialout $USER as root, then log in again (or a udev rule with uaccess)"
        yield Finding("serial ports", NOTE, "this user is not in the group dialout", do)


def _group_names() -> set[str]:
    try:
        import grp
    except ImportError:
        return set()
    names = set()
    for number in os.getgroups():
        try:
            names.add(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return names


def present() -> Iterator[Finding]:
    """The boards that are plugged in or emulated now."""
    from fieldtune import devices

    found = devices.all()
    for device in found:
        where = device.port or device.drive
        yield Finding(f"{device.kind} {device.board}", OK, f"{where}, {device.state}")
    if not found:
        do = f"plug one in, or host emulate --board {BOARD}"
        yield Finding("boards", NOTE, "none present", do)


GROUPS: dict[str, tuple[Callable[[], Iterator[Finding]], ...]] = {
    "machine": (python, command, demo),
    "build": (toolchain, sources),
    "image": (image,),
    "emulator": (node, rp2040js, bootrom),
    "board": (serial, present),
}


def examine() -> dict[str, list[Finding]]:
    """Every group's findings. A check that cannot be made is a finding too."""
    findings: dict[str, list[Finding]] = {}
    for group, checks in GROUPS.items():
        findings[group] = []
        for check in checks:
            try:
                findings[group] += check()
            except FieldtuneError as error:
                findings[group].append(Finding(check.__name__, MISSING, error.what, error.do))
    return findings


def obstacles(findings: dict[str, list[Finding]]) -> list[str]:
    """What keeps a Pico from being used here; empty when nothing does."""
    lacking = {
        group: [finding.name for finding in rows if finding.status == MISSING]
        for group, rows in findings.items()
    }
    found = [f"{name} is missing" for name in lacking["machine"]]
    if not any(finding.status == OK for finding in findings["image"]) and lacking["build"]:
        found.append(f"no image, and none can be built without {', '.join(lacking['build'])}")
    attached = any(finding.name == f"real {BOARD}" for finding in findings["board"])
    if lacking["emulator"] and not attached:
        found.append(f"no board, and no emulated one without {', '.join(lacking['emulator'])}")
    elif lacking["emulator"] and lacking["board"]:
        found.append(f"the board cannot be reached: {', '.join(lacking['board'])}")
    return found


def table(findings: dict[str, list[Finding]]) -> Iterator[str]:
    rows = [finding for group in findings.values() for finding in group]
    width = max(len(finding.name) for finding in rows)
    for finding in rows:
        yield f"{finding.name:<{width}}  {finding.status:<7}  {finding.found}"
        if finding.do:
            yield f"{'':<{width}}           -> {finding.do}"


def configure(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace, console: Console) -> int:
    findings = examine()
    reasons = obstacles(findings)
    rows = [
        {"group": group, **asdict(finding)}
        for group, members in findings.items()
        for finding in members
    ]
    verdict = [f"not ready for a Pico: {reason}" for reason in reasons] or ["ready for a Pico"]
    console.result(
        {"ready": not reasons, "obstacles": reasons, "checks": rows},
        [*table(findings), "", *verdict],
    )
    return 1 if reasons else 0
