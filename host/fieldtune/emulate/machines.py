"""The programs that emulate a board's chip, as the keeper sees them: a byte stream and events.

A machine has
  fd            to wait on for output, while `reading`
  pending       bytes for the board that did not fit yet; wait for `fd` to take more, then `flush`
  send(data)    bytes for the board; to be called only when nothing is pending
  receive()     output and events: list of bytes and str; raises EOFError when the program ended
  throttle(on)  whether output has to wait
  set_line(open, baud)   the state of the serial port
  stop()        ends the program, returns its exit status
"""

import os
import pty
import socket
import struct
import subprocess
import tty
from pathlib import Path

from fieldtune.emulate import process
from fieldtune.emulate.runtime import Runtime

SOCKET_BUFFER_BYTES = 4096  # on its way between keeper and chip, each way
DATA, LINE, EVENT, FLOW = 1, 2, 3, 4  # frame types, see boards/pico/emulator/runner.mjs
HEADER = struct.Struct("<BH")
SIMULATOR_HEAP = "8M"
STOP_SECONDS = 2.0


def _stop(child: subprocess.Popen) -> int:
    child.terminate()
    try:
        return child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


class EmulatedChip:
    """rp2040js in Node.js, behind a socket with frames."""

    def __init__(self, runtime: Runtime, flash: Path, serial: str):
        self.socket, theirs = socket.socketpair()
        for end in (self.socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER_BYTES)
        self.socket.setblocking(False)
        self.child = subprocess.Popen(
            [runtime.node, runtime.runner, runtime.bootrom, flash, serial],
            stdin=theirs,
            env={**os.environ, "FIELDTUNE_RP2040JS": str(runtime.rp2040js)},
            preexec_fn=process.end_with_parent,
        )
        theirs.close()
        self.fd = self.socket.fileno()
        self.reading = True
        self.pending = b""
        self._received = b""
        self._throttled = False

    def send(self, data: bytes) -> None:
        self._frame(DATA, data)

    def set_line(self, is_open: bool, baud: int) -> None:
        self._frame(LINE, struct.pack("<BI", is_open, baud))

    def throttle(self, on: bool) -> None:
        if on != self._throttled:
            self._throttled = on
            self._frame(FLOW, bytes([on]))

    def _frame(self, kind: int, payload: bytes) -> None:
        self.pending += HEADER.pack(kind, len(payload)) + payload
        self.flush()

    def flush(self) -> None:
        try:
            self.pending = self.pending[self.socket.send(self.pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.pending = b""  # the end shows at the next receive

    def receive(self) -> list[bytes | str]:
        try:
            data = self.socket.recv(SOCKET_BUFFER_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            raise EOFError
        self._received += data
        frames = []
        while len(self._received) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._received)
            end = HEADER.size + length
            if len(self._received) < end:
                break
            payload = self._received[HEADER.size : end]
            frames.append(payload if kind == DATA else payload.decode())
            self._received = self._received[end:]
        return frames

    def stop(self) -> int:
        status = _stop(self.child)
        self.socket.close()
        return status


class Simulator:
    """MicroPython's unix port on a terminal of its own."""

    def __init__(self, program: Path, files: Path):
        self.fd, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(self.fd, False)
        # The program makes the terminal its controlling one, for KeyboardInterrupt.
        self.child = subprocess.Popen(
            [program, "-X", f"heapsize={SIMULATOR_HEAP}", "-m", "rawrepl"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=files,
            start_new_session=True,
            preexec_fn=process.end_with_parent,
        )
        os.close(slave)
        self.reading = True
        self.pending = b""

    def send(self, data: bytes) -> None:
        self.pending += data
        self.flush()

    def set_line(self, is_open: bool, baud: int) -> None:
        pass

    def throttle(self, on: bool) -> None:
        self.reading = not on

    def flush(self) -> None:
        try:
            self.pending = self.pending[os.write(self.fd, self.pending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.pending = b""

    def receive(self) -> list[bytes | str]:
        try:
            data = os.read(self.fd, SOCKET_BUFFER_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            raise EOFError
        return [data]

    def stop(self) -> int:
        os.close(self.fd)
        return _stop(self.child)
