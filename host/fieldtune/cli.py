"""The command line: `host COMMAND ...`. Parses, dispatches, turns exceptions into exit codes."""

import argparse
import difflib
import errno
import importlib
import os
import select
import sys
import traceback

from fieldtune import __version__
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError, UsageError

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
  6 verification failed   7 the board raised   8 data lost   9 incompatible firmware
  130 interrupted"""

# As the shell reports a program that a signal ended.
INTERRUPTED, OUTPUT_CLOSED = 130, 141


class Parser(argparse.ArgumentParser):
    """A parser whose subcommands take the common options too and whose errors are UsageErrors."""

    def __init__(self, **settings):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )
        common = self.add_argument_group("options of every command")
        # Without defaults: a subcommand's parser must not undo what was said before its name.
        for name, kind, text in (
            ("--json", {"action": "store_true"}, "JSON, and nothing else, on stdout"),
            ("--device", {"metavar": "PORT"}, "serial device (default: the only one)"),
            ("--timeout", {"metavar": "S", "type": _seconds}, "seconds to wait for an answer"),
            ("--trace", {"action": "store_true"}, "show the traceback of an error"),
        ):
            common.add_argument(name, default=argparse.SUPPRESS, help=text, **kind)

    def error(self, message: str):
        raise UsageError(message, do=f"{self.prog} --help shows how it is called")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no time to wait, in seconds")
    return seconds


def overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["usage: host COMMAND [options]", "", "commands:", *lines, "",
         "host COMMAND --help tells more about one of them.", "", EXIT_CODES]
    )  # fmt: skip


def command_parser(name: str, command) -> argparse.ArgumentParser:
    parser = Parser(prog=f"host {name}", description=command.__doc__, epilog=EXIT_CODES)
    command.configure(parser)
    return parser


def load(name: str):
    """The module of the command `name`. UsageError when there is none, with the nearest one."""
    if name.startswith("-"):
        raise UsageError(f"{name} before the command", do="host COMMAND, then its options")
    if name not in COMMANDS:
        nearest = difflib.get_close_matches(name, COMMANDS, n=1)
        do = f"did you mean host {nearest[0]}?" if nearest else "host --help lists the commands"
        raise UsageError(f"no such command: {name!r}", do=do)
    return importlib.import_module(f"fieldtune.commands.{name}")


def run(argv: list[str], console: Console) -> int:
    """Runs the command that `argv` names. Returns its exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        console.result({"commands": COMMANDS}, [overview()])
        return 0
    if argv[0] == "--version":
        console.result({"version": __version__}, [f"fieldtune {__version__}"])
        return 0
    command = load(argv[0])
    parser = command_parser(argv[0], command)
    defaults = argparse.Namespace(json=False, device=None, timeout=None, trace=False)
    args = parser.parse_args(argv[1:], defaults)
    console.as_json = args.json
    return command.run(args, console) or 0


def as_fieldtune_error(error: Exception) -> FieldtuneError:
    """What a person is told about an exception that no command foresaw."""
    if isinstance(error, FieldtuneError):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" for {error.filename}" if error.filename else ""
        return FieldtuneError(
            f"no space left{where}",
            "the disk, or your share of it, is full",
            "free some space and run the same command again",
        )
    if isinstance(error, OSError) and error.filename and error.strerror:
        return FieldtuneError(f"cannot use {error.filename}", error.strerror)
    return FieldtuneError(
        f"{type(error).__name__}: {error}",
        "this is a bug in fieldtune",
        "--trace shows where; please report it with that",
    )


def _closed(stream) -> bool:
    """Whether nobody reads `stream` any more."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _discard_output() -> None:
    """Lets what is still buffered vanish, so that the interpreter's last flush cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Returns its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        # A name or a board's text may hold what the terminal's encoding has not.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    console = Console("--json" in argv)
    try:
        return run(argv, console)
    except KeyboardInterrupt:
        failure, error = FieldtuneError("interrupted"), None
        code = INTERRUPTED
    except Exception as exception:
        if isinstance(exception, BrokenPipeError) and _closed(sys.stdout):
            _discard_output()
            return OUTPUT_CLOSED
        failure, error = as_fieldtune_error(exception), exception
        code = failure.exit_code
    if error and "--trace" in argv:
        traceback.print_exception(error)
    try:
        console.error(failure, code)
        sys.stdout.flush()
    except OSError:
        _discard_output()
    return code
