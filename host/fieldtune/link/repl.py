"""The board's raw REPL. The only file that knows mpremote, whose library interface is unstable."""

import contextlib
import io
import os
import time
from collections.abc import Callable

from fieldtune.errors import DataLost, DeviceRaised, FieldtuneError, NoDevice, TimedOut
from fieldtune.link.frame import Splitter
from fieldtune.link.handshake import end_any_session
from fieldtune.link.link import Link
from fieldtune.text import printable

SERVE = "import fieldtune.session as s; s.serve()"

_FIRST_ATTEMPT = 0.3  # seconds for one try to get a prompt ...
_ATTEMPT = 1.0  # ... when the first one failed
_LEAVE = 0.7  # longer than a board lingers in a session that has ended
_CTRL_C = b"\x03"
_FRIENDLY = b">>> "


class Repl:
    """The prompt of the board at `port`, opened exclusively. A context manager.

    Raises NoDevice when there is no such port, FieldtuneError when another program has it,
    TimedOut when no prompt comes within `timeout` seconds.
    """

    def __init__(self, port: str, timeout: float = 10.0):
        # A symbolic link is resolved because mpremote tells a pty by its name.
        self.port = os.path.realpath(port)
        self.timeout = timeout
        self._transport = _open(self.port)
        try:
            self._enter(soft_reset=False)
        except BaseException:
            self._transport.serial.close()
            raise

    def __enter__(self) -> "Repl":
        return self

    def __exit__(self, *_exc) -> None:
        self.close()

    @property
    def serial(self):
        """The pyserial port below."""
        return self._transport.serial

    def exec(
        self,
        code: str,
        timeout: float | None = None,
        on_output: Callable[[bytes], None] | None = None,
    ) -> str:
        """Runs `code` and returns what it printed, or hands it to `on_output` as it comes.

        Raises DeviceRaised with the board's traceback, TimedOut when it is silent for `timeout`
        seconds (default: the prompt's).
        """
        self.exec_no_follow(code)
        return self.follow(timeout, on_output)

    def exec_no_follow(self, code: str) -> None:
        """Starts `code` and does not wait for it."""
        with self._translated("the board did not take the code"):
            self.serial.timeout = self.timeout
            self._transport.exec_raw_no_follow(code)

    def follow(
        self, timeout: float | None = None, on_output: Callable[[bytes], None] | None = None
    ) -> str:
        """Waits for the end of what exec_no_follow() started, as exec() does."""
        kept = bytearray()
        take = on_output or kept.extend

        def consume(data: bytes) -> None:
            if data != b"\x04":
                take(data)

        with self._translated("the code did not come to an end"):
            self.serial.timeout = _ATTEMPT
            wait = self.timeout if timeout is None else timeout
            _none, trace = self._transport.follow(wait, data_consumer=consume)
        if trace:
            raise _raised(trace)
        return _text(kept)

    def interrupt(self) -> None:
        """Sends Ctrl-C to what runs; follow() then sees it end."""
        with self._translated("the board was not interrupted"):
            self.serial.write(_CTRL_C)

    def soft_reset(self) -> None:
        """Restarts the board's interpreter, without main.py."""
        self._enter(soft_reset=True)

    def start_session(self, code: str = SERVE, **options) -> Link:
        """Starts `code`, which opens a fieldtune.link on the board. `options` are Link's.

        Returns the link, opened; the identity that the board sent is its `identity`.
        """
        self.exec_no_follow(code)
        link = Link(self.serial, **options)
        link.open()
        return link

    def end_session(self) -> str:
        """Back to the prompt, however the session ended. Returns what was printed behind it."""
        with self._translated("the session did not end"):
            self.serial.timeout = 0.05
            said = self._transport.read_until(1, b"\x04>", timeout=_LEAVE)
        self._enter(soft_reset=False)
        # An answer to a goodbye that was repeated may still be among it.
        output = [item for item in Splitter().feed(said) if isinstance(item, bytes)]
        return _text(b"".join(output).removesuffix(b">"))

    def close(self) -> None:
        """Leaves the board at its friendly prompt, once that is there."""
        with contextlib.suppress(OSError):
            self._transport.exit_raw_repl()
            self.serial.timeout = 0.05
            self._transport.read_until(1, _FRIENDLY, timeout=_ATTEMPT)
        self._transport.serial.close()

    def _enter(self, soft_reset: bool) -> None:
        """Ctrl-C, Ctrl-A. A board that does not answer may be in a session: tells it to leave."""
        end = time.monotonic() + self.timeout
        with self._translated("the board shows no prompt"):
            wait = self.timeout if soft_reset else _FIRST_ATTEMPT
            while not self._try_enter(soft_reset, wait):
                wait = max(wait, _ATTEMPT)
                if time.monotonic() > end:
                    raise TimedOut(
                        f"the board on {printable(self.port)} shows no prompt",
                        "it is busy, or no MicroPython runs on it",
                        "host doctor; or reset it and try again",
                    )
                self.serial.write(end_any_session())
                time.sleep(_LEAVE)

    def _try_enter(self, soft_reset: bool, wait: float) -> bool:
        from mpremote.transport import TransportError

        self.serial.timeout = 0.05
        # mpremote prints what it found instead of a prompt.
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                self._transport.enter_raw_repl(soft_reset=soft_reset, timeout_overall=wait)
            except TransportError:
                return False
        return True

    @contextlib.contextmanager
    def _translated(self, what: str):
        from mpremote.transport import TransportError

        try:
            yield
        except TransportError as error:
            raise TimedOut(what, printable(error)) from error
        except OSError as error:
            why = printable(error)
            raise DataLost(f"the port {printable(self.port)} has vanished", why) from error


def _open(port: str):
    from mpremote.transport import TransportError
    from mpremote.transport_serial import SerialTransport

    try:
        return SerialTransport(port, exclusive=True)
    except TransportError as error:
        raise _why_not(port) from error


def _why_not(port: str) -> FieldtuneError:
    """mpremote says only that it could not open the port; this finds out why."""
    import serial

    shown = printable(port)
    if not os.path.exists(port):
        return NoDevice(f"there is no port {shown}", do="host devs lists what is present")
    try:
        serial.Serial(port, exclusive=True).close()
    except OSError as error:
        why = printable(error)
        if "lock" in why or "busy" in why.lower():
            do = "close that program, or wait until it is done"
            return FieldtuneError(f"another program uses {shown}", why, do)
        if "ermission" in why:
            return NoDevice(f"{shown} may not be opened", why, "host doctor says which group may")
        return NoDevice(f"{shown} cannot be opened", why)
    return FieldtuneError(f"another program used {shown}", do="try again")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\x04", "")


def _raised(trace: bytes) -> DeviceRaised:
    lines = _text(trace).strip().split("\n")
    why = "\n".join(printable(line, 500) for line in lines)
    return DeviceRaised(f"the board raised {printable(lines[-1])}", why)
