"""Sends a model to the board, which keeps it if it arrives whole and is valid."""

from pathlib import Path

from fieldtune.commands import target


def configure(parser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a model file")
    target.configure(parser)


def run(args, console) -> None:
    from fieldtune.model import file, planner

    model = file.read(args.file)
    sent = file.to_bytes(model)
    with target.session(args, console) as session:
        ram = planner.check_fits(model.graph, model.plan, session.board)
        reply = session.push(sent)
    data = {
        "board": session.board,
        "bytes": reply["bytes"],
        "sha256": reply["sha256"],
        "ram_needed_bytes": ram.needed,
        "ram_bytes": ram.heap,
    }
    console.result(
        data,
        [
            f"sent {reply['bytes']} bytes to the {session.board}; its hash agrees",
            f"sha256 {reply['sha256']}",
            f"RAM    {ram.needed} of {ram.heap} bytes at batch {model.plan['batch']}",
        ],
    )
