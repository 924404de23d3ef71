"""Starts, lists and stops emulated boards.

An emulated board is a process of its own with a serial device; its flash is a file and survives.
"""

from fieldtune.emulate import registry
from fieldtune.errors import NoDevice, UsageError


def configure(parser) -> None:
    parser.add_argument("--board", metavar="B", help="the kind of board to start: pico, unix")
    parser.add_argument("--name", metavar="N", help="its name (default: the board's)")
    parser.add_argument("--fresh", action="store_true", help="with a new flash")
    parser.add_argument("--list", action="store_true", help="list the boards that run")
    parser.add_argument(
        "--stop", metavar="NAME", nargs="?", const="", help="stop one (default: the only), or all"
    )


def run(args, console) -> int:
    if args.list:
        return _list(console)
    if args.stop is not None:
        return _stop(args.stop, console)
    if not args.board:
        raise UsageError("which board?", do="host emulate --board pico, or --list, or --stop")
    board = registry.start(args.board, args.name, args.fresh, console=console)
    console.result(
        _facts(board),
        [f"{board.name} runs (process {board.pid})", f"device: {board.device}"],
    )
    return 0


def _facts(board) -> dict:
    return {
        "name": board.name,
        "board": board.board,
        "device": str(board.device),
        "pid": board.pid,
        "state": board.state,
        "serial": board.serial,
    }


def _list(console) -> int:
    boards = registry.running()
    lines = [f"{b.name:<12} {b.board:<8} {b.state:<8} {b.pid:>7}  {b.device}" for b in boards]
    console.result([_facts(b) for b in boards], lines or ["no emulated board runs"])
    return 0


def _stop(name: str, console) -> int:
    boards = registry.running()
    if name == "":
        if len(boards) > 1:
            raise UsageError(
                "which one?",
                f"{', '.join(b.name for b in boards)} run",
                "--stop NAME, or --stop all",
            )
    elif name != "all":
        boards = [b for b in boards if b.name == name]
    if name != "all" and not boards:
        raise NoDevice("no such emulated board runs", do="host emulate --list shows those that do")
    for board in boards:
        registry.stop(board)
    names = [board.name for board in boards]
    console.result({"stopped": names}, [f"{name} stopped; its flash stays" for name in names])
    return 0
