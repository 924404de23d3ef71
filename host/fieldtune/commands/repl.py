"""Open the board's interactive prompt, which is mpremote's. Ctrl-X leaves it."""

import argparse
import os
import sys

from fieldtune.commands import target
from fieldtune.console import Console
from fieldtune.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    target.configure(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    if args.json or not sys.stdin.isatty():
        raise UsageError(
            "a prompt needs a person",
            "standard input is no terminal" if not args.json else "--json asks for a document",
            "host run FILE runs a script",
        )
    from fieldtune.link.repl import Repl

    device = target.find(args)
    with Repl(str(device.port), args.timeout or 10.0):
        pass  # out of whatever it is in, to the friendly prompt
    console.info(f"{device.board} on {device.port}; Ctrl-X leaves")
    mpremote = [sys.executable, "-m", "mpremote", "connect", str(device.port), "repl"]
    os.execv(mpremote[0], mpremote)
