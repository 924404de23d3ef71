"""Fetches the board's present model: the adapted one if it has adapted, else the one pushed."""

from pathlib import Path

from fieldtune.commands import target


def configure(parser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write it")
    target.configure(parser)


def run(args, console) -> None:
    from fieldtune.model import file

    with target.session(args, console) as session:
        data = session.pull()
    model = file.from_bytes(data, "the board's model")
    file.write(model, args.file)
    facts = {"file": str(args.file), "bytes": args.file.stat().st_size, "step": model.graph.step}
    console.result(
        facts, [f"{args.file}: {facts['bytes']} bytes, {model.graph.step} steps trained"]
    )
