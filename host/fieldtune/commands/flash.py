"""Puts the image on a board and proves that it runs.

The board is rebooted into its boot ROM and the image copied to the drive that appears. Then the
running board is asked for its build id and the CRC-32 of its own flash.
"""

from pathlib import Path

from fieldtune.errors import NoDevice

PROVES = "the CRC proves the transfer, not who made the image"


def configure(parser) -> None:
    parser.add_argument("--board", metavar="B", default="pico", help="pico (default), unix")
    parser.add_argument(
        "--emulated", action="store_true", help="an emulated board, started if none runs"
    )
    parser.add_argument(
        "--image", metavar="FILE", type=Path, help="instead of the board's own image"
    )


def run(args, console) -> int:
    from fieldtune.flash.flash import TIMEOUT, flash

    device = _device(args, console)
    path = args.image or _own_image(args.board, console)
    done = flash(device, path, console, args.timeout or TIMEOUT)
    crc = None if done.crc32 is None else f"{done.crc32:08x}"
    lines = [f"build id  {done.build_id or 'not one of fieldtune'}"]
    if crc:
        lines.append(f"CRC-32    {crc} over {done.size} bytes, computed by the board")
        lines.append(f"verified  ({PROVES})")
    else:
        lines.append("verified")
    data = {
        "board": done.board,
        "device": done.port,
        "build_id": done.build_id,
        "size": done.size,
        "crc32": crc,
        "verified": True,
    }
    console.result(data, lines)
    return 0


def _device(args, console):
    from fieldtune import boards, devices
    from fieldtune.emulate import registry

    emulated = True if args.emulated or boards.load(args.board).kind == "simulator" else None
    try:
        return devices.find(args.board, args.device, emulated)
    except NoDevice:
        if not emulated or args.device:
            raise
        console.info(f"starting an emulated {args.board}")
        registry.start(args.board, console=console)
        return devices.find(args.board, None, True)


def _own_image(board: str, console) -> Path:
    from fieldtune.build import image

    return image.build(board, console).path
