"""The command line: `host COMMAND ...`. Parses, dispatches, turns exceptions into exit codes."""

import argparse
import importlib
import sys

from fieldtune import __version__
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError

# A command is a module of fieldtune.commands with configure(parser) and run(args, console).
# Only the one that is called is imported, so that --help stays immediate.
COMMANDS = {
    "doctor": "what is installed, what is missing and how to get it",
    "boards": "the boards fieldtune knows",
    "devs": "the boards that are present, real and emulated",
    "build": "build the MicroPython image of a board",
    "emulate": "start, list and stop emulated boards",
    "flash": "put the image on a board and prove that it runs",
    "repl": "the board's interactive prompt",
    "run": "run a script on the board",
    "model": "make and inspect model files",
    "push": "send a model to the board",
    "pull": "fetch the adapted model from the board",
    "stream": "send samples to the board: train, adapt or evaluate there",
    "metrics": "list, show, plot and export past runs",
    "demo": "the whole story on one board: train, drift, adapt, report",
    "bench": "cycles, memory and throughput of an emulated board",
}

EXIT_CODES = """exit codes:
  0 done   1 failed   2 usage   3 no device   4 more than one device   5 timed out
  6 verification failed   7 the board raised   8 data lost   9 incompatible firmware"""


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["usage: host COMMAND [options]", "", "commands:", *lines, "",
         "host COMMAND --help tells more about one of them.", "", EXIT_CODES]
    )  # fmt: skip


def command_parser(name: str, command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"host {name}",
        description=command.__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    common = parser.add_argument_group("options of every command")
    common.add_argument("--json", action="store_true", help="JSON, and nothing else, on stdout")
    common.add_argument("--device", metavar="PORT", help="serial device (default: the only one)")
    common.add_argument("--timeout", type=float, metavar="S", help="seconds to wait for an answer")
    common.add_argument("--trace", action="store_true", help="show the traceback of an error")
    return parser


def report(error: FieldtuneError) -> None:
    for label, text in (("error", error.what), ("why", error.why), ("do", error.do)):
        if text:
            print(f"{label}: {text}", file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if argv[0] == "--version":
        print(f"fieldtune {__version__}")
        return 0
    name = argv[0]
    if name not in COMMANDS:
        print(f"error: no such command: {name!r}\ndo: host --help lists the commands", file=sys.stderr)
        return 2
    command = importlib.import_module(f"fieldtune.commands.{name}")
    args = command_parser(name, command).parse_args(argv[1:])
    try:
        return command.run(args, Console(args.json)) or 0
    except FieldtuneError as error:
        if args.trace:
            raise
        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        if args.trace:
            raise
        print("error: interrupted", file=sys.stderr)
        return 130
