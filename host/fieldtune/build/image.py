"""A board's image: built once for its inputs, found again by its build id."""

import json
import re
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fieldtune import __version__, boards, tree
from fieldtune.boards import Board
from fieldtune.build import inputs, tools
from fieldtune.build.inputs import Inputs
from fieldtune.build.recipes import RECIPES, Work
from fieldtune.build.sources import Origin
from fieldtune.build.workspace import Lock, disk_errors, new_folder
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError, UsageError

# Of each board the cache keeps the last ones made: folders of objects (80 MB each), images.
_KEPT_OBJECTS = 3
_KEPT_IMAGES = 20


@dataclass(frozen=True)
class Image:
    """A built image. `size` and `crc32` are of the flash content (of the program, on unix)."""

    path: Path
    board: str
    build_id: str
    version: str
    size: int
    crc32: int
    inputs: str  # digest of all it was built from but the compiler
    compiler: str
    sections: dict[str, int] = field(default_factory=dict)  # text, data, bss in bytes


def build(
    board: Board | str,
    console: Console,
    *,
    origin: Origin = Origin(),  # noqa: B008 (frozen)
    ulab: Path | None = None,
    force: bool = False,
) -> Image:
    """The image of the present inputs: found when it has been built or shipped, built otherwise.

    Raises FieldtuneError when compilers or sources are missing or the build fails.
    """
    board = boards.load(board) if isinstance(board, str) else board
    found = None if force else current(board, origin=origin, ulab=ulab)
    if found:
        return found
    _check_path(tree.cache())
    recipe = RECIPES[board.port]
    tools.require(recipe.cross)
    with disk_errors(tree.cache()), Lock(f"build-{board.name}", console) as lock:
        present = inputs.read(board, origin, ulab, _compiler(board))
        # Somebody else may have built it while this process waited for the lock.
        found = None if force else _stored(board, present)
        return found or _build(board, present, origin, force, lock, console)


def current(
    board: Board | str,
    *,
    origin: Origin = Origin(),  # noqa: B008 (frozen)
    ulab: Path | None = None,
) -> Image | None:
    """The image that matches the present inputs, if there is one; builds nothing.

    Without compilers the shipped image counts as current whatever the inputs are.
    """
    board = boards.load(board) if isinstance(board, str) else board
    can_build = not tools.missing(RECIPES[board.port].cross)
    present = inputs.read(board, origin, ulab, _compiler(board) if can_build else "")
    shipped = _load(tree.shipped_images() / board.name, board)
    if can_build:
        found = _stored(board, present)
        if found:
            return found
    if shipped and (shipped.inputs == present.digest or not can_build):
        return shipped
    return None


def _compiler(board: Board) -> str:
    recipe = RECIPES[board.port]
    return tools.identity(recipe.compiler, recipe.flags, recipe.libraries)


def _stored(board: Board, present: Inputs) -> Image | None:
    return _load(tree.cache() / "images" / board.name / present.build_id, board)


def _load(folder: Path, board: Board) -> Image | None:
    path = folder / RECIPES[board.port].image
    try:
        record = json.loads((folder / "image.json").read_text(encoding="utf-8"))
        return Image(path=path, **record) if path.is_file() else None
    except (OSError, ValueError, TypeError):
        return None


def _check_path(path: Path) -> None:
    if not re.fullmatch(r"[\w/.+@~-]+", str(path)):
        raise UsageError(
            f"images cannot be built below {path}",
            "make cannot cope with blanks and special characters in a path",
            "set FIELDTUNE_CACHE to another folder",
        )


def _build(
    board: Board, present: Inputs, origin: Origin, force: bool, lock: Lock, console: Console
) -> Image:
    recipe = RECIPES[board.port]
    folder = tree.cache() / "work" / f"{board.name}-{present.objects_id}"
    whole = folder / "whole"  # there while the objects are those of a build that ended well
    if force:
        whole.unlink(missing_ok=True)
    for left in folder.parent.glob(f"{board.name}-*"):
        if not (left / "whole").is_file():
            shutil.rmtree(left, ignore_errors=True)
    reuse = folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    log.write_bytes(b"")
    with Lock("sources", console) as sources_lock:
        sources = origin.fetch(recipe.cross, log, sources_lock, console)
        mpy_cross = tools.mpy_cross(sources.micropython, log, sources_lock, console)
    work = Work(board, folder / "project", folder / "objects", sources, mpy_cross, log, lock)
    present.write(work.project, board)
    if reuse:
        console.info(f"freezing Python into the image for {board.title}")
        whole.unlink()
        shutil.rmtree(work.objects / "frozen_mpy", ignore_errors=True)
        (work.objects / "frozen_content.c").unlink(missing_ok=True)
    else:
        console.info(f"compiling the image for {board.title}")
        recipe.configure(work)
    recipe.make(work)
    image = _store(board, present, work)
    whole.touch()
    _prune(folder.parent.glob(f"{board.name}-*/whole"), _KEPT_OBJECTS)
    _prune(image.path.parent.parent.glob("*/image.json"), _KEPT_IMAGES)
    console.info(f"built {image.path}")
    return image


def _store(board: Board, present: Inputs, work: Work) -> Image:
    recipe = RECIPES[board.port]
    final = tree.cache() / "images" / board.name / present.build_id
    with new_folder(final) as folder:
        content = recipe.collect(work, folder)
        record = {
            "board": board.name,
            "build_id": present.build_id,
            "version": __version__,
            "size": len(content),
            "crc32": zlib.crc32(content),
            "inputs": present.digest,
            "compiler": present.compiler,
            "sections": _sections(recipe.size, work.objects / recipe.elf),
        }
        text = json.dumps(record, indent=2) + "\n"
        (folder / "image.json").write_text(text, encoding="utf-8")
    image = _load(final, board)
    if image is None:
        raise FieldtuneError(f"the image below {final} vanished", do="build it again")
    return image


def _sections(size: str, elf: Path) -> dict[str, int]:
    """Bytes of text, data and bss, from the second line that `size` prints."""
    done = subprocess.run([size, elf], capture_output=True, text=True, check=True)
    numbers = done.stdout.splitlines()[1].split()[:3]
    return dict(zip(("text", "data", "bss"), map(int, numbers), strict=True))


def _prune(marks: Iterable[Path], kept: int) -> None:
    """Deletes the folders of all but the youngest `marks`; the caller holds the board's lock."""
    by_age = sorted(marks, key=lambda path: path.stat().st_mtime, reverse=True)
    for mark in by_age[kept:]:
        shutil.rmtree(mark.parent, ignore_errors=True)
