"""The boards fieldtune knows: kind, chip, clock, memories and how an image gets there."""

from dataclasses import asdict

from fieldtune import boards


def configure(parser) -> None:
    """No options of its own."""


def run(_args, console) -> None:
    known = boards.all()
    data = [asdict(board) | {"folder": str(board.folder)} for board in known]
    heading = (
        "name",
        "kind",
        "title",
        "chip",
        "clock",
        "flash",
        "RAM",
        "for Python",
        "flashed by",
    )
    rows = [heading, *(_row(board) for board in known)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    console.result(data, lines)


def _row(board: boards.Board) -> tuple[str, ...]:
    clock = f"{board.clock_hz // 1_000_000} MHz" if board.clock_hz else "-"
    memories = (board.flash_bytes, board.ram_bytes, board.heap_bytes)
    flash, ram, heap = (f"{size // 1024} KiB" if size else "-" for size in memories)
    method = {"uf2": "UF2 drive", "none": "nothing: it is a program"}[board.flash_method]
    return board.name, board.kind, board.title, board.chip, clock, flash, ram, heap, method
