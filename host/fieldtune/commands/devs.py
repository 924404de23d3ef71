"""Lists the boards that are present, real and emulated."""

import dataclasses

from fieldtune import devices


def configure(parser) -> None:
    del parser  # the common options are all


def run(args, console) -> int:
    del args
    found = devices.all()
    lines = [
        f"{device.kind:<8}  {device.board:<6}  {device.name:<16}  {device.state:<7}  "
        f"{device.port or device.drive}"
        for device in found
    ]
    nothing = "no board is present: plug one in, or host emulate --board pico"
    console.result([dataclasses.asdict(device) for device in found], lines or [nothing])
    return 0
