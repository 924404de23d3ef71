"""Which board a command talks to: the options of every command that does, and the answer."""


def configure(parser) -> None:
    parser.add_argument(
        "--board", metavar="B", help="the board's kind, when more than one is present"
    )
    parser.add_argument("--emulated", action="store_true", default=None, help="not a real one")


def find(args):
    """The devices.Device the options describe. Raises NoDevice, AmbiguousDevice."""
    from fieldtune import devices

    return devices.find(board=args.board, port=args.device, emulated=args.emulated)


def session(args, console):
    """A stream.session.Session with it; what the board prints becomes lines of the console."""
    from fieldtune.stream.session import Session

    return Session(find(args).port, args.timeout or 10.0, on_text=lambda text: say(console, text))


def say(console, text: str) -> None:
    for line in text.splitlines():
        console.info(f"board: {line}")
