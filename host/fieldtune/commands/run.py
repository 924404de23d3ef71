"""Run a script on the board: its output as it comes, its traceback if it raises (exit code 7).

The board starts afresh, as with a soft reset. Ctrl-C stops the script on the board too. Options go
before FILE; what follows it is the script's. An exception that nobody catches is seen, the number
given to sys.exit() is not.
"""

import argparse
import contextlib
import math
import sys
from pathlib import Path

from fieldtune.commands import target
from fieldtune.console import Console
from fieldtune.errors import FieldtuneError, UsageError

STOPS_WITHIN = 5.0  # seconds that an interrupted script has for its `finally`


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)
    parser.add_argument("file", metavar="FILE", help="the script; - reads standard input")
    parser.add_argument(
        "args", metavar="ARGS", nargs=argparse.REMAINDER, default=[], help="its sys.argv"
    )


def run(args: argparse.Namespace, console: Console) -> int:
    script = read(args.file)

    from fieldtune.link.repl import Repl

    device = target.find(args)
    output = bytearray()

    def consume(data: bytes) -> None:
        output.extend(data)
        console.output(data)

    with Repl(str(device.port), args.timeout or 10.0) as repl:
        repl.soft_reset()
        repl.exec(f"import sys; sys.argv[:] = {[args.file, *args.args]!r}")
        try:
            repl.exec(script, args.timeout or math.inf, consume)
        except KeyboardInterrupt:
            repl.interrupt()
            # It ends with the board's own KeyboardInterrupt.
            with contextlib.suppress(FieldtuneError):
                repl.follow(STOPS_WITHIN, consume)
            raise
        repl.end_session()  # sys.exit() in the script restarts the board; leave when it is back
    if console.as_json:
        text = output.decode("utf-8", "replace").replace("\r\n", "\n")
        console.result({"device": str(device.port), "output": text, "exit_code": 0})
    return 0


def read(name: str) -> str:
    """The script's text. Raises UsageError when it cannot be read."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {name}", error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is no text in UTF-8", f"byte {error.start}") from error
