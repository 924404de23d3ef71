"""Digests of file trees."""

import hashlib
import os
from pathlib import Path


def of_files(files: dict[str, bytes]) -> str:
    """SHA-256 over relative paths and contents, in the order of the paths."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(f"{len(name)} {len(files[name])} {name}\n".encode())
        total.update(files[name])
    return total.hexdigest()


def of_tree(folder: Path) -> str:
    """SHA-256 over every file and link below `folder`; links count by their target."""
    total = hashlib.sha256()
    for directory, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".git")
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        for name in sorted([*names, *links]):
            if name == ".git":  # a submodule's
                continue
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, folder)
            if os.path.islink(path):
                content = b"link to " + os.fsencode(os.readlink(path))
            else:
                content = Path(path).read_bytes()
            total.update(f"{len(content)} {relative}\n".encode())
            total.update(content)
    return total.hexdigest()
