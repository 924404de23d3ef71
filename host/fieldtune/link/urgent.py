"""Urgent requests, which overtake all data and are repeated until the board reports."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fieldtune.link import frame as wire
from fieldtune.link.frame import Frame, Type
from fieldtune.link.window import RETRY, RETRY_MAX


@dataclass
class Request:
    """One that has no REPORT yet."""

    encoded: bytes
    due: float
    delay: float
    carried: int  # how many DATA frames had gone out before it, repeated ones included
    wanted: bool  # somebody waits for the answer


class Requests:
    """Those under way, by number. `write` puts an encoded frame on the line."""

    def __init__(self, write: Callable[[bytes], None]):
        self._write = write
        self._pending: dict[int, Request] = {}
        self._number = 0
        self.answers: dict[int, bytes] = {}  # the payloads that somebody waits for

    def __contains__(self, number: int | None) -> bool:
        return number in self._pending

    def send(self, type_: Type, session: int, carried: int, wanted: bool = False) -> int:
        """Sends a request. Returns its number."""
        self._number = (self._number + 1) & 0xFFFF
        encoded = wire.encode(Frame(type_, 0, self._number, session))
        due = time.monotonic() + RETRY
        self._pending[self._number] = Request(encoded, due, RETRY, carried, wanted)
        self._write(encoded)
        return self._number

    def repeat(self, now: float) -> None:
        """Repeats those whose time has come."""
        for request in self._pending.values():
            if now >= request.due:
                self._write(request.encoded)
                request.delay = min(2 * request.delay, RETRY_MAX)
                request.due = now + request.delay

    def answered(self, report: Frame) -> Request | None:
        """Takes a REPORT. Returns the request it answers, None for one answered before."""
        request = self._pending.pop(report.sequence, None)
        if request and request.wanted:
            self.answers[report.sequence] = report.payload
        return request

    def clear(self) -> None:
        self._pending.clear()
