"""Build the MicroPython image of a board, with fieldtune's modules in it.

The sources are Debian stable's packages, fetched and verified by apt; sources and images are kept
in the cache, and an image whose inputs have not changed is found there again.
"""

from pathlib import Path

from fieldtune import boards
from fieldtune.errors import UsageError


def configure(parser) -> None:
    parser.add_argument("--board", required=True, metavar="NAME", help="host boards lists them")
    parser.add_argument("--mirror", metavar="URL", help="Debian mirror (default: the machine's)")
    parser.add_argument(
        "--micropython", metavar="DIR", type=Path, help="a checkout, instead of Debian's source"
    )
    parser.add_argument(
        "--ulab", metavar="DIR", type=Path, help="build ulab in, from its checkout"
    )
    parser.add_argument("--force", action="store_true", help="compile everything again")


def run(args, console) -> None:
    from fieldtune.build import image
    from fieldtune.build.sources import Origin

    board = boards.load(args.board)
    for folder in (args.micropython, args.ulab):
        if folder and not folder.is_dir():
            raise UsageError(f"there is no folder {folder}")
    origin = Origin(args.mirror, args.micropython and args.micropython.resolve())
    built = image.build(board, console, origin=origin, ulab=args.ulab, force=args.force)
    data = {
        "board": built.board,
        "build_id": built.build_id,
        "path": str(built.path),
        "size": built.size,
        "crc32": f"{built.crc32:08x}",
        "sections": built.sections,
    }
    sections = ", ".join(f"{name} {size}" for name, size in built.sections.items())
    lines = [
        f"image     {built.path}",
        f"build id  {built.build_id}",
        f"size      {built.size} bytes ({sections}), CRC-32 {built.crc32:08x}",
    ]
    console.result(data, lines)
