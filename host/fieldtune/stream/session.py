"""What the host asks of a board during a session. docs/session.md lists the messages."""

import hashlib
import json
from collections import deque
from collections.abc import Callable

from fieldtune.errors import (
    DeviceRaised,
    FieldtuneError,
    Incompatible,
    TimedOut,
    VerificationFailed,
)
from fieldtune.link.repl import Repl
from fieldtune.model import file
from fieldtune.text import printable

CONTROL, SAMPLES, FILE, METRICS = range(4)
REPLY_LIMIT = 8192


class Session:
    """A session with the board at `port`. A context manager: leaves the board at its prompt.

    `on_text` gets what the board prints; the attribute `on_metrics` is called with each metrics
    record. Raises what Repl and Link raise; DeviceRaised with the board's own error when it
    refuses a request.
    """

    def __init__(
        self,
        port: str,
        timeout: float = 10.0,
        on_text: Callable[[str], None] | None = None,
    ):
        self._timeout = timeout
        self.on_metrics: Callable[[dict], None] = lambda record: None
        self._reply = bytearray()
        self._replies: deque[dict] = deque()
        self._requests = 0
        self._file = bytearray()
        self._repl = Repl(port, timeout)
        try:
            self._require_firmware()
            self.link = self._repl.start_session(timeout=timeout, on_text=on_text)
        except BaseException:
            self._repl.close()
            raise
        self.identity = self.link.identity

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind, _value, _trace) -> None:
        try:
            self.link.__exit__(kind, _value, _trace)
            self._repl.end_session()
        except FieldtuneError:
            if kind is None:
                raise
        finally:
            self._repl.close()

    @property
    def board(self) -> str:
        return str(self.identity.get("board", ""))

    def push(self, data: bytes) -> dict:
        """Makes `data`, a model file, the board's model. Raises VerificationFailed if damaged."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.request({"do": "push", "bytes": len(data), "sha256": sha256})
        for at in range(0, len(data), self.link.payload_max):
            self.link.send(FILE, data[at : at + self.link.payload_max])
            self.poll()
        reply = self._wait_for_reply()
        if reply.get("sha256") != sha256:
            raise VerificationFailed(
                "the board stored something else than was sent", do="try again"
            )
        return reply

    def pull(self) -> bytes:
        """The board's present model file, the adapted one if there is one."""
        self._file.clear()
        reply = self.request({"do": "pull"})
        size = reply.get("bytes")
        if not isinstance(size, int) or not 0 <= size <= file.MOST_BYTES:
            raise FieldtuneError("the board names a file of an absurd size", printable(size))
        while len(self._file) < size:
            if self._replies:
                self._wait_for_reply()  # the error that kept the rest from coming
            self._take(self.link.receive(self._timeout), "the board sends no file")
        data = bytes(self._file[:size])
        if hashlib.sha256(data).hexdigest() != reply.get("sha256"):
            raise VerificationFailed("the file from the board is damaged", do="try again")
        return data

    def start(self, **settings) -> dict:
        """Prepares a task on the board's present model. Settings: see docs/session.md."""
        return self.request({"do": "start", **settings})

    def samples(self, data: bytes) -> None:
        """Sends whole samples, one that is longer than a frame alone; waits for the board's room.

        Without any it takes in what has come. Raises what the board raised.
        """
        for at in range(0, len(data), self.link.payload_max):
            self.link.send(SAMPLES, data[at : at + self.link.payload_max])
        self.poll()
        if self._replies:
            self._wait_for_reply()

    def finish(self) -> dict:
        """Ends the task: the board's counts, and the hash of the adapted model if it trained."""
        return self.request({"do": "finish"})

    def request(self, message: dict) -> dict:
        """Sends a message and waits for its reply."""
        self._requests += 1
        message = {**message, "id": self._requests}
        text = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        for at in range(0, len(text), self.link.payload_max):
            self.link.send(CONTROL, text[at : at + self.link.payload_max])
        return self._wait_for_reply()

    def poll(self) -> None:
        """Takes in what has come."""
        while item := self.link.receive(0):
            self._take(item, "")

    def _wait_for_reply(self) -> dict:
        while True:
            while not self._replies:
                self._take(self.link.receive(self._timeout), "the board does not reply")
            reply = self._replies.popleft()
            # One to an earlier request may be left where that ended with an error about samples.
            if reply.get("id", self._requests) == self._requests:
                break
        if "error" in reply:
            kind, message = printable(reply["error"]), printable(reply.get("message", ""))
            raise DeviceRaised(f"the board refused: {kind}", message)
        return reply

    def _take(self, item: tuple[int, bytes] | None, missing: str) -> None:
        if item is None:
            raise TimedOut(missing)
        channel, payload = item
        if channel == FILE:
            self._file.extend(payload)
        elif channel == METRICS:
            self.on_metrics(_object(payload))
        elif channel == CONTROL:
            self._reply.extend(payload)
            if self._reply.endswith(b"\n"):
                self._replies.append(_object(bytes(self._reply)))
                self._reply.clear()
            elif len(self._reply) > REPLY_LIMIT:
                raise FieldtuneError("the board's reply has no end")

    def _require_firmware(self) -> None:
        try:
            self._repl.exec("import fieldtune.session")
        except DeviceRaised as error:
            raise Incompatible(
                "the board does not run fieldtune's firmware",
                error.why,
                "host flash puts it there",
            ) from error


def _object(text: bytes) -> dict:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FieldtuneError(
            "the board sent something that is not a JSON object", printable(text[:80])
        )
    return value
