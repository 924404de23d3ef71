"""Trains a model, flashes a Pico, tilts its images and lets it recover on the board, unlabelled.

Without a Pico plugged in, the emulated one is used: it boots the very image a real one boots.
"""


def configure(parser) -> None:
    parser.add_argument("--board", metavar="B", default="pico", help="pico (default), unix")
    parser.add_argument(
        "--emulated", action="store_true", help="the emulated board, even if one is plugged in"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of data and training (default: 3)")


def run(args, console) -> None:
    from fieldtune import demo, tree
    from fieldtune.build import image
    from fieldtune.flash.flash import flash
    from fieldtune.stream import pump

    seed = demo.SEED if args.seed is None else args.seed
    pump.check_seed(seed)
    built = image.build(args.board, console)
    device = _device(args, console)
    flashed = flash(device, built.path, console)
    console.info(f"build {built.build_id} runs on the {device.kind} {args.board}, verified")
    folder = tree.runs() / "demo"
    facts = {"size": built.size, "build_id": built.build_id}
    report = demo.run(flashed.port, facts, seed, folder, console)
    console.result(report, ["", *demo.table(report), "", f"report, models, plot: {folder}"])


def _device(args, console):
    """The board to use: a real one if there is one, unless told otherwise."""
    from fieldtune import devices
    from fieldtune.emulate import registry
    from fieldtune.errors import NoDevice

    if args.device or not args.emulated:
        try:
            return devices.find(args.board, args.device, None if args.device else False)
        except NoDevice:
            if args.device:
                raise
    why = "as asked" if args.emulated else f"no {args.board} is plugged in"
    console.info(f"{why}: the emulated one it is")
    registry.start(args.board, console=console)
    return devices.find(args.board, None, True)
