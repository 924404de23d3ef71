"""The host's end of the link: framed, reliable, in order. docs/protocol.md describes the wire."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

from fieldtune.errors import DataLost, DeviceRaised, FieldtuneError, TimedOut, UsageError
from fieldtune.link import frame as wire
from fieldtune.link import handshake
from fieldtune.link.frame import Frame, Type
from fieldtune.link.output import Output
from fieldtune.link.port import Port
from fieldtune.link.urgent import Requests
from fieldtune.link.window import RETRY, Incoming, Outgoing

_KEEP_ALIVE = 2.0  # seconds, or half the time-out
_AWAY = 1.0  # a program that has not serviced the link for so long cannot call the board silent
_LAST_WORDS = 0.5
_WINDOW = 8
_QUEUE = 1024


@dataclass(frozen=True)
class Statistics:
    """What a session carried and what it cost."""

    frames_sent: int
    bytes_sent: int
    frames_received: int
    bytes_received: int
    retransmitted: int
    corrupt: int
    duplicates: int
    foreign: int
    text_bytes: int
    credit_waits: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Link:
    """One session with a board over `port`, any object with pyserial's interface.

    `timeout` is how many seconds the board may be silent, `on_text` gets what it prints, escaped
    for terminals. Whatever waits raises TimedOut after such a silence, DataLost when the port
    vanishes and DeviceRaised when the board ends the session by itself. Something has to be called
    every few seconds, if only service(): the board gives up on a host that is silent for 10 s.
    """

    def __init__(
        self, port, *, timeout: float = 10.0, on_text: Callable[[str], None] | None = None
    ):
        self.timeout = timeout
        self.payload_max = wire.PAYLOAD_MAX
        self.identity: dict = {}  # what the board calls itself
        self.stopped = self.paused = False  # as the board last reported

        self._port = Port(port)
        self._output = Output(on_text)
        self._splitter = wire.Splitter()
        self._corrupt_answered = 0

        self._session = 0
        self._welcome: Frame | None = None
        self._bye: Frame | None = None

        self._out = Outgoing(self._write)
        self._in = Incoming(_WINDOW, _QUEUE)
        self._ack_due = self._nak_due = False
        self._foreign = self._credit_waits = 0
        self._blocked = False

        self._requests = Requests(self._write)
        self._probe: int | None = None

        self._heard = self._spoke = self._serviced = time.monotonic()

    def __enter__(self) -> "Link":
        self.open()
        return self

    def __exit__(self, kind, _value, _trace) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    # The session

    def open(self) -> dict:
        """Opens a session with a board that waits for one. Returns the board's identity.

        Raises Incompatible for another protocol version.
        """
        self._session, hello = handshake.hello(_WINDOW)
        try:
            self._repeat(lambda: hello, lambda: self._welcome, "the board opened no session")
            welcome = handshake.Welcome.parse(self._welcome.payload)
        except BaseException:
            self.abandon()
            raise
        self._out.granted = welcome.window
        self.payload_max = welcome.payload_max
        self.identity = welcome.identity
        return welcome.identity

    def close(self) -> Statistics:
        """Says goodbye when all is acknowledged, and compares counts: DataLost if they differ.

        What the board sent until then can still be received.
        """
        if self._session and not self._bye:
            self.flush()
            self._repeat(self._goodbye, lambda: self._bye, "the board said no goodbye")
        self._leave()
        if self._bye:
            handshake.compare(self._bye.payload, self._out.tally, self._in.tally)
        return self.statistics

    def abandon(self) -> None:
        """Ends the session at once: the board is told, nothing is waited for or compared."""
        if self._session and not self._bye:
            with suppress(DataLost):
                self._write(handshake.end_any_session())
        self._leave()

    @property
    def statistics(self) -> Statistics:
        return Statistics(
            frames_sent=self._out.tally.frames,
            bytes_sent=self._out.tally.bytes,
            frames_received=self._in.tally.frames,
            bytes_received=self._in.tally.bytes,
            retransmitted=self._out.retransmitted,
            corrupt=self._splitter.corrupt,
            duplicates=self._in.duplicates,
            foreign=self._foreign,
            text_bytes=self._output.bytes,
            credit_waits=self._credit_waits,
        )

    # Data

    def send(self, channel: int, payload: bytes) -> None:
        """Sends at most `payload_max` bytes; waits for the board's credit."""
        payload = bytes(payload)
        if len(payload) > self.payload_max:
            limit = f"the most is {self.payload_max}"
            raise UsageError(f"a payload of {len(payload)} bytes", limit)
        self._require_session()
        self._wait_for_credit()
        sequence = self._out.next & 0xFFFF
        encoded = wire.encode(Frame(Type.DATA, channel, sequence, self._session, payload))
        self._out.send(encoded, payload)
        self.service()

    def receive(self, timeout: float | None = None) -> tuple[int, bytes] | None:
        """The next (channel, payload); None when none came within `timeout` seconds."""
        if self._session:
            deadline = None if timeout is None else time.monotonic() + timeout
            self._until(lambda: self._in.waiting, "the board sends no data", deadline)
        if not self._in.waiting:
            return None
        starved = not self._in.credit
        first = self._in.waiting.popleft()
        if starved and self._session:
            self._answer(Type.ACK)
        return first

    def flush(self) -> None:
        """Waits until the board has acknowledged everything."""
        self._until(lambda: not self._out.frames, "the board does not acknowledge")

    # Urgent requests

    def stop(self) -> None:
        """Asks the board to stop. service() repeats it until the board reports."""
        self._request(Type.STOP)

    def pause(self) -> None:
        """Asks the board to pause."""
        self._request(Type.PAUSE)

    def resume(self) -> None:
        """Asks the board to go on."""
        self._request(Type.RESUME)

    def status(self) -> bytes:
        """The board's status, asked for and waited for."""
        number = self._request(Type.STATUS, wanted=True)
        self._until(lambda: number in self._requests.answers, "the board does not report")
        return self._requests.answers.pop(number)

    def service(self, wait: bool = False) -> None:
        """Takes in what is there, or what comes within 20 ms, and does what is due."""
        if time.monotonic() - self._serviced > _AWAY:
            self._heard = time.monotonic()
        for item in self._splitter.feed(self._port.read(wait)):
            if isinstance(item, Frame):
                self._on_frame(item)
            else:
                self._output.take(item)
        self._serviced = time.monotonic()
        if self._session and self._welcome and not self._bye:
            self._acknowledge()
            self._keep_time(self._serviced)

    # What arrives

    def _on_frame(self, frame: Frame) -> None:
        if not self._session or frame.session != self._session:
            self._foreign += 1
            return
        self._heard = time.monotonic()
        if frame.type == Type.DATA:
            self._nak_due |= self._in.take(frame.sequence, frame.channel, frame.payload)
            self._ack_due = True
        elif frame.type in (Type.ACK, Type.NAK):
            self._out.acknowledge(frame.sequence, frame.channel, frame.type == Type.NAK)
        elif frame.type == Type.REPORT:
            self._on_report(frame)
        elif frame.type == Type.WELCOME:
            self._welcome = self._welcome or frame
        elif frame.type == Type.BYE:
            self._on_bye(frame)

    def _on_report(self, frame: Frame) -> None:
        request = self._requests.answered(frame)
        if request is None:
            return
        self.stopped, self.paused = bool(frame.channel & 1), bool(frame.channel & 2)
        # The line keeps the order: what went out before the request and is not acknowledged
        # by now is lost.
        if self._out.frames and request.carried == self._out.carried:
            self._out.go_back()

    def _on_bye(self, frame: Frame) -> None:
        self._bye = frame
        self._write(self._goodbye(handshake.HEARD))

    # What is due

    def _acknowledge(self) -> None:
        if self._splitter.corrupt != self._corrupt_answered:
            self._corrupt_answered = self._splitter.corrupt
            self._nak_due = self._in.gap = True
        if self._nak_due or self._ack_due:
            self._answer(Type.NAK if self._nak_due else Type.ACK)

    def _keep_time(self, now: float) -> None:
        self._requests.repeat(now)
        if self._probe in self._requests:
            return
        stuck = (self._out.frames or self._blocked) and self._out.overdue(now)
        if stuck or now - self._spoke >= min(_KEEP_ALIVE, self.timeout / 2):
            self._probe = self._request(Type.STATUS)

    def _request(self, type_: Type, wanted: bool = False) -> int:
        self._require_session()
        return self._requests.send(type_, self._session, self._out.carried, wanted)

    def _answer(self, type_: Type) -> None:
        self._ack_due = self._nak_due = False
        sequence = self._in.expected & 0xFFFF
        self._write(wire.encode(Frame(type_, self._in.credit, sequence, self._session)))

    def _goodbye(self, flags: int = 0) -> bytes:
        return handshake.bye(self._session, flags, self._out.tally, self._in.tally)

    def _write(self, frame: bytes) -> None:
        self._spoke = time.monotonic()
        self._port.write(frame)

    def _require_session(self) -> None:
        if not self._session:
            raise FieldtuneError("the link is used outside a session")

    def _leave(self) -> None:
        self._session = 0
        self._requests.clear()
        self._port.restore()

    # Waiting

    def _wait_for_credit(self) -> None:
        self.service()
        if not self._out.has_credit:
            self._credit_waits += 1
            self._blocked = True
            self._out.restart_timer()
            self._until(lambda: self._out.has_credit, "the board takes no data")
            self._blocked = False
        elif self._bye:
            self._board_left()

    def _repeat(self, frame: Callable[[], bytes], done: Callable[[], object], what: str) -> None:
        started, due = time.monotonic(), 0.0
        while not done():
            if self._output.ended:
                raise DeviceRaised(what, self._output.last_words())
            now = time.monotonic()
            if now - started > self.timeout:
                raise TimedOut(f"{what} within {self.timeout:g} s", self._output.last_words())
            if now >= due:
                self._write(frame())
                due = now + RETRY
            self.service(wait=True)

    def _until(self, done: Callable[[], object], what: str, deadline: float | None = None) -> None:
        self._require_session()
        self.service()
        while not done():
            if self._bye or self._output.ended:
                self._board_left()
            now = time.monotonic()
            if now - self._heard > self.timeout:
                raise TimedOut(f"{what}: silent for {self.timeout:g} s", self._output.last_words())
            if deadline is not None and now >= deadline:
                return
            self.service(wait=True)

    def _board_left(self) -> None:
        """Raises DeviceRaised, with what the board printed when it ended the session."""
        end = time.monotonic() + _LAST_WORDS
        with suppress(DataLost):
            while not self._output.ended and time.monotonic() < end:
                self.service(wait=True)
        self._leave()
        raise DeviceRaised("the board ended the session", self._output.last_words())
