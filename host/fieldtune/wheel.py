"""Builds the wheel with what makes it whole: the Pico's image, its emulator, no compiler needed.

`make wheel` runs this in the checkout's virtual environment.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fieldtune import tree
from fieldtune.cli import as_fieldtune_error
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError

PROJECT = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")
TREES = ("host", "boards", "device", "native_modules")
BOARD = "pico"
IMAGE = ("firmware.uf2", "image.json")


def stage(checkout: Path, folder: Path) -> Path:
    """Copies the project into `folder`; the checkout itself never holds what only a wheel carries.

    Returns the folder that the wheel's images go to.
    """
    for name in PROJECT:
        shutil.copy2(checkout / name, folder / name)
    for name in TREES:
        unwanted = shutil.ignore_patterns("__pycache__", "node_modules", "_images")
        shutil.copytree(checkout / name, folder / name, ignore=unwanted)
    return folder / "host" / "fieldtune" / "_images"


def pack(folder: Path, output: Path) -> Path:
    """Builds the wheel of the project in `folder` into `output`. Returns its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(output)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise FieldtuneError("the wheel cannot be built", done.stderr.strip())
    (wheel,) = output.glob("*.whl")
    return wheel


def furnish(images: Path, console: Console) -> None:
    """Puts the Pico's image, rp2040js and the boot ROM below `images`."""
    from fieldtune.build import image
    from fieldtune.emulate import runtime

    built = image.build(BOARD, console)
    folder = images / BOARD
    folder.mkdir(parents=True)
    for name in IMAGE:
        shutil.copyfile(built.path.with_name(name), folder / name)
    runtime.ship(images / "emulator")


def main() -> int:
    console = Console()
    checkout = tree.source()
    try:
        with tempfile.TemporaryDirectory(prefix="fieldtune-wheel-") as scratch:
            folder = Path(scratch)
            furnish(stage(checkout, folder), console)
            wheel = pack(folder, folder / "dist")
            final = checkout / "dist" / wheel.name
            final.parent.mkdir(exist_ok=True)
            shutil.copyfile(wheel, final)
    except Exception as exception:
        error = as_fieldtune_error(exception)
        console.error(error, error.exit_code)
        return error.exit_code
    console.result(final, [f"{final.relative_to(checkout)}, {final.stat().st_size >> 10} KiB"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
