"""Sends a running board into its boot ROM, where it takes an image."""

import contextlib
import time

from fieldtune.console import Console
from fieldtune.devices import Device
from fieldtune.errors import TimedOut
from fieldtune.link.repl import Repl

TOUCH_BAUD = 1200
ASK_TIMEOUT = 5.0
# Delayed, so that the prompt's answer is out before the port is gone.
REBOOT = "import time, machine; time.sleep_ms(100); machine.bootloader()"


def enter(device: Device, console: Console) -> None:
    """Asks MicroPython for the boot ROM; touches the port at 1200 baud if no prompt answers.

    Returns before the drive is there.
    """
    try:
        with _port_may_vanish(), Repl(device.port, ASK_TIMEOUT) as repl:
            repl.exec_no_follow(REBOOT)
    except TimedOut:
        console.info("no prompt answers: trying 1200 baud")
        touch(device.port)


def touch(port: str) -> None:
    """Opens and closes the port at 1200 baud: the request to firmware that knows it."""
    import serial

    with _port_may_vanish(), serial.Serial(port, TOUCH_BAUD):
        time.sleep(0.05)


@contextlib.contextmanager
def _port_may_vanish():
    """A port that goes away is what was asked for."""
    with contextlib.suppress(OSError):
        yield
