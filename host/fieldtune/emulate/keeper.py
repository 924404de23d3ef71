"""The process behind one emulated board: keeps its serial port, runs its chip, plays its boot ROM.

    python -m fieldtune.emulate.keeper NAME READY_FD

Writes "ready" to READY_FD when the board is up. Ends on SIGTERM.
"""

import fcntl
import os
import select
import signal
import sys
import time

from fieldtune import boards
from fieldtune.emulate import bootsel, machines, process, record, runtime
from fieldtune.emulate.serial_port import SerialPort

CLOSED_POLL_MS = 25  # how soon an opened port is noticed: the kernel has no event for it
DRIVE_POLL_MS = 50
START_SECONDS = 10.0  # for firmware to come up on USB; some never does
OUTPUT_LIMIT = 4096  # bytes from the board that wait here before the board has to
RESTARTS = 3  # of a simulator that ends ...
RESTART_SECONDS = 1.0  # ... sooner than this


class Keeper:
    """One board. `run` returns when it was told to stop or its program cannot go on."""

    def __init__(self, board: record.EmulatedBoard, ready_fd: int):
        self.board = board
        self.ready = open(ready_fd, "w")
        self.emulator = boards.load(board.board).emulator
        self.runtime = runtime.prepare() if self.emulator == "rp2040js" else None
        self.port = SerialPort(board.device)
        self.machine = None
        self.drive = None
        self.output = b""  # from the board, for the port
        self.stopping = False
        self.quick_ends = 0
        self.machine_started = 0.0
        self.signals, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.stop)

    def stop(self, *_signal) -> None:
        self.stopping = True

    def run(self) -> None:
        self.power_on()
        while not self.stopping:
            self.wait()
            if self.port.update():
                self.line_changed()
            self.board_to_port()
            self.port_to_board()
            if self.drive and self.drive.poll():
                self.image_copied()
            if self.starting_for_too_long():
                self.set_state(record.RUNNING)
        self.power_off()

    def wait(self) -> None:
        """Sleeps until there is something to do."""
        poll = select.poll()
        poll.register(self.signals, select.POLLIN)
        waiting = self.drive or self.board.state == record.STARTING
        timeout = DRIVE_POLL_MS if waiting else None
        if self.port.is_open:
            wanted = 0 if self.machine and self.machine.pending else select.POLLIN
            wanted |= select.POLLOUT if self.output else 0
            poll.register(self.port.fd, wanted)
        else:
            timeout = CLOSED_POLL_MS
        if self.machine:
            wanted = select.POLLIN if self.machine.reading else 0
            wanted |= select.POLLOUT if self.machine.pending else 0
            if wanted:
                poll.register(self.machine.fd, wanted)
        poll.poll(timeout)

    def line_changed(self) -> None:
        if self.machine:
            self.machine.set_line(self.port.is_open, self.port.baud)
        if not self.port.is_open:
            self.port.reset_settings()
            self.output = b""

    def board_to_port(self) -> None:
        if self.machine and self.machine.reading:
            try:
                received = self.machine.receive()
            except EOFError:
                self.machine_ended()
                received = []
            for item in received:
                if isinstance(item, str):
                    self.event(item)
                elif self.port.is_open:
                    self.output += item
        if self.output and self.port.is_open:
            self.output = self.output[self.port.write(self.output) :]
        if self.machine:
            self.machine.throttle(len(self.output) >= OUTPUT_LIMIT)

    def port_to_board(self) -> None:
        if not self.machine:
            self.port.read()  # a board in BOOTSEL has no serial port
            return
        self.machine.flush()
        if not self.machine.pending and (data := self.port.read()):
            self.machine.send(data)

    def power_on(self) -> None:
        self.machine_started = time.monotonic()
        if self.emulator == "micropython":
            self.board.files.mkdir(mode=0o700, exist_ok=True)
            self.machine = machines.Simulator(self.board.image, self.board.files)
        elif bootsel.boot2_valid(self.board.flash.read_bytes()[: bootsel.BOOT2_BYTES]):
            self.machine = machines.EmulatedChip(self.runtime, self.board.flash, self.board.serial)
        else:
            self.enter_bootsel()
            return
        self.machine.set_line(self.port.is_open, self.port.baud)
        chip = self.emulator == "rp2040js"  # which says itself when it is up
        self.set_state(record.STARTING if chip else record.RUNNING)

    def starting_for_too_long(self) -> bool:
        busy = time.monotonic() - self.machine_started
        return self.board.state == record.STARTING and busy > START_SECONDS

    def event(self, text: str) -> None:
        self.log(text)
        what = text.split()[0]
        if what == "up":
            self.set_state(record.RUNNING)
        elif what == "bootsel":
            self.drop_machine()
            self.enter_bootsel()
        elif what == "dead":
            self.drop_machine()
            self.set_state(record.HALTED)

    def enter_bootsel(self) -> None:
        self.drive = bootsel.Drive(self.board.drive, self.board.flash)
        self.set_state(record.BOOTSEL)

    def image_copied(self) -> None:
        self.drive.eject()
        self.drive = None
        self.power_on()

    def machine_ended(self) -> None:
        """The program is gone without a word: a simulator is started again, a chip is not."""
        status = self.drop_machine()
        self.log(f"the {self.emulator} process ended with status {status}")
        quick = time.monotonic() - self.machine_started < RESTART_SECONDS
        self.quick_ends = self.quick_ends + 1 if quick else 0
        if self.emulator == "micropython" and self.quick_ends < RESTARTS:
            self.power_on()
        else:
            self.stop()

    def drop_machine(self) -> int:
        machine, self.machine = self.machine, None
        return machine.stop() if machine else 0

    def power_off(self) -> None:
        if self.machine:
            self.drop_machine()
        if self.drive:
            self.drive.eject()
        self.port.close()
        self.board.pid, self.board.started = 0, ""
        self.set_state(record.STOPPED)

    def set_state(self, state: str) -> None:
        self.board.state = state
        self.board.save()
        if state != record.STARTING and not self.ready.closed:
            self.ready.write("ready" if state in (record.RUNNING, record.BOOTSEL) else state)
            self.ready.close()

    def log(self, line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def main(name: str, ready_fd: str) -> int:
    board = record.load(name)
    # Held as long as this process lives, however it ends: nobody else keeps this board.
    lock = open(board.folder / "keeper.lock", "w", opener=record.private)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    board.pid = os.getpid()
    board.started = process.start_time(board.pid)
    Keeper(board, int(ready_fd)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
