"""Measures an emulated board: cycles of training and inference, memory, throughput, accuracy.

Cycles are modelled, by an emulator without cache misses and wait states.
"""

from pathlib import Path


def configure(parser) -> None:
    parser.add_argument("--board", metavar="B", default="pico", help="pico (default)")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        default=Path("build", "bench"),
        help="where <board>.json goes (default: build/bench)",
    )


def run(args, console) -> None:
    from fieldtune import boards
    from fieldtune.bench import report
    from fieldtune.build import image
    from fieldtune.errors import UsageError

    board = boards.load(args.board)
    if board.kind != "hardware" or board.emulator is None:
        raise UsageError(
            f"{board.title} counts no cycles", "the bench wants the emulator of a chip"
        )
    figures = report.gather(image.build(board, console), console)
    path = report.write(figures, args.output)
    console.result(figures, ["", *report.lines(figures), "", f"figures: {path}"])
