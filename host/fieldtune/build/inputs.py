"""Everything that goes into an image, read once, and the id that follows from it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fieldtune import __version__, tree
from fieldtune.boards import Board
from fieldtune.build import digest, edits, recipes, tools
from fieldtune.build.sources import Origin
from fieldtune.errors import UsageError

# What lies in a board's folder without going into its image.
_NOT_IN_IMAGE = {"emulator", "board.toml"}


@dataclass(frozen=True)
class Inputs:
    """The project's files of an image (path -> content) and the identity of the rest."""

    files: dict[str, bytes]
    sources: str
    compiler: str

    @property
    def digest(self) -> str:
        """Of everything but the compiler: what a shipped image must have been built from."""
        return _digest(__version__, self.sources, _recipe(), digest.of_files(self.files))

    @property
    def build_id(self) -> str:
        """16 hexadecimal digits that name the image."""
        return _digest(self.digest, self.compiler)[:16]

    @property
    def objects_id(self) -> str:
        """The same for images that differ in frozen Python only: they share their objects."""
        native = {name: text for name, text in self.files.items() if not _is_frozen(name)}
        return _digest(self.sources, _recipe(), digest.of_files(native), self.compiler)[:16]

    def write(self, folder: Path, board: Board) -> None:
        """Lays the files out below `folder` for a build; what is no input any more is deleted."""
        build = {"BUILD_ID": self.build_id, "VERSION": __version__, "BOARD": board.name}
        lines = [f'{name} = "{value}"\n' for name, value in build.items()]
        files = self.files | {
            "device/fieldtune/_build.py": "".join(lines).encode(),
            "README.md": b"MicroPython's build looks for this file in its library.\n",
        }
        for path in folder.rglob("*"):
            if path.is_file() and path.relative_to(folder).as_posix() not in files:
                path.unlink()
        for name, content in files.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def read(board: Board, origin: Origin, ulab: Path | None, compiler: str) -> Inputs:
    """The present inputs of `board`'s image. Raises UsageError when `ulab` is not ulab."""
    files = {}
    for root in (f"boards/{board.name}", "device", "native_modules"):
        files |= _read_tree(tree.source(root), root)
    if ulab is not None:
        files |= _read_ulab(ulab)
    with_sdk = recipes.RECIPES[board.port].cross
    return Inputs(files, origin.identity(with_sdk), compiler)


def _read_tree(folder: Path, name: str) -> dict[str, bytes]:
    files = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
        outside = name.startswith("boards/") and parts[0] in _NOT_IN_IMAGE
        if path.is_file() and not hidden and not outside:
            files["/".join((name, *parts))] = path.read_bytes()
    return files


def _read_ulab(folder: Path) -> dict[str, bytes]:
    code = folder / "code" if (folder / "code").is_dir() else folder
    if not (code / "micropython.mk").is_file() or not (code / "ulab.c").is_file():
        raise UsageError(
            f"{folder} is not ulab",
            "it has no code/ulab.c",
            "clone micropython-ulab and name its folder",
        )
    return _read_tree(code, "native_modules/ulab")


def _is_frozen(name: str) -> bool:
    return name.startswith("device/")


def _recipe() -> str:
    """The code that decides how an image is built."""
    modules = [Path(module.__file__) for module in (edits, recipes, tools)] + [Path(__file__)]
    return "".join(path.read_text(encoding="utf-8") for path in modules)


def _digest(*parts: str) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{len(part)} {part}\n".encode())
    return total.hexdigest()
