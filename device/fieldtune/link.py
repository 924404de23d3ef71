# SPDX-License-Identifier: MIT
"""The board's end of the link: framed, reliable, in order. The wire is described in docs/protocol.md."""

import micropython
import struct
import time
from errno import ETIMEDOUT

import wire
from micropython import const

VERSION = const(1)
LIMIT = const(1024)  # bytes of payload
STATUS_LIMIT = const(512)

_HELLO = const(1)
_WELCOME = const(2)
_DATA = const(3)
_ACK = const(4)
_NAK = const(5)
_BYE = const(6)
_STOP = const(16)
_PAUSE = const(17)
_RESUME = const(18)
_STATUS = const(19)
_REPORT = const(20)

_SLOTS_MAX = const(3)  # whole frames that the 4096 bytes of the input ring hold
_WINDOW = const(2)  # a power of two, so that a sequence picks its buffer by its low bits
_FRAMES_A_POLL = const(16)
_RETRY_MS = const(250)
_RETRY_MAX_MS = const(2000)
_NAK_MS = const(100)
_LINGER_MS = const(1000)
_GOODBYE_MS = const(2000)
_GAVE_UP = const(1)  # of a BYE
_HEARD = const(2)
_ENOTCONN = const(107)
_CTRL_C = const(3)


class Link:
    """One session. Use it as a context manager, or open() and close() it.

    `stdin` and `stdout` are binary streams, `identity` is the JSON that the host is welcomed with. OSError(ETIMEDOUT)
    is raised by whatever polls once the host has been silent for `quiet_ms`.
    """

    def __init__(self, stdin, stdout, identity=b"{}", slots=_SLOTS_MAX, quiet_ms=10000):
        self.stop = False
        self.paused = False
        self.closed = False  # the host has said goodbye: nothing more will come
        self.on_status = None  # called when the host asks, returns at most STATUS_LIMIT bytes
        self.limit = LIMIT
        self.waited_us = 0  # in receive(), for frames that were not there yet
        self.foreign = 0
        self.duplicates = 0
        self.retransmitted = 0
        self.cut = 0  # frames that the host did not take within the port's time-out

        self._stdout = stdout
        self._quiet_ms = quiet_ms
        self._slots = min(slots, _SLOTS_MAX)
        self._session = 0

        # A ring of received payloads, and one buffer more to receive the next frame in.
        self._buffers = [bytearray(LIMIT + 4) for _ in range(self._slots + 1)]
        self._views = [memoryview(b) for b in self._buffers]
        self._channels = bytearray(self._slots + 1)
        self._lengths = [0] * (self._slots + 1)
        self._head = self._tail = self._count = 0
        self._rx = wire.Receiver(stdin, self._buffers[0])
        self._expected = 0
        self._received = wire.Tally()
        self._damaged = 0  # corrupt frames that have been answered
        self._gap = False  # the frames behind one that is missing have been answered
        self._ack_due = self._nak_due = False

        # Frames that the host has not acknowledged, as they went out.
        self._out = [bytearray(wire.frame_size(LIMIT)) for _ in range(_WINDOW)]
        self._out_lengths = [0] * _WINDOW
        self._next = self._acked = self._granted = 0
        self._sent = wire.Tally()
        self._retry_ms = _RETRY_MS

        self._welcome = struct.pack("<BBH", VERSION, self._slots, LIMIT) + identity
        self._small = bytearray(wire.frame_size(STATUS_LIMIT))
        self._goodbye = bytearray(24)
        self._bye_due = self._bye_sent = self._farewell = False
        self._heard = self._sent_at = time.ticks_ms()
        self._resent_at = time.ticks_add(self._sent_at, -_NAK_MS)

    def __enter__(self):
        micropython.kbd_intr(-1)
        try:
            self.open()
        except BaseException:
            micropython.kbd_intr(_CTRL_C)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.close(kind is not None)
        finally:
            micropython.kbd_intr(_CTRL_C)

    def open(self):
        """Waits for the host's HELLO and welcomes it."""
        rx = self._rx
        start = time.ticks_ms()
        while not self._session:
            n = rx.poll()
            if n == 4 and rx.type == _HELLO:
                self._on_hello(rx.buffer)
            elif n >= 0 and rx.type == _BYE and not rx.session:
                raise OSError(_ENOTCONN)
            elif time.ticks_diff(time.ticks_ms(), start) > self._quiet_ms:
                raise OSError(ETIMEDOUT)
            elif n < 0:
                time.sleep_ms(1)
        self._heard = time.ticks_ms()

    def receive(self, wait_ms=0):
        """The oldest frame that has not been released: (channel, payload), or None.

        The payload is a memoryview of the link's buffer and valid until release(). Waits up to `wait_ms` for a frame,
        but no longer than until stop or the end of the session.
        """
        self.poll()
        if not self._count and wait_ms:
            start, waited = time.ticks_us(), 0
            while waited < 1000 * wait_ms and not (self._count or self.stop or self.closed):
                time.sleep_ms(1)
                self.poll()
                waited = time.ticks_diff(time.ticks_us(), start)
            self.waited_us += waited
        if not self._count:
            return None
        k = self._head
        return self._channels[k], self._views[k][: self._lengths[k]]

    def release(self):
        """Gives the buffer of the frame that receive() returned back, and the host the credit for it."""
        if self._count:
            self._head = (self._head + 1) % len(self._buffers)
            self._count -= 1
            self._answer(_ACK)

    def send(self, channel, payload):
        """Sends bytes, at most `limit` of them; waits for room. OSError(ENOTCONN) once the session has ended."""
        if len(payload) > self.limit:
            raise ValueError("payload too long")
        while self._next == self._granted or (self._next - self._acked) & 0xFFFF >= _WINDOW:
            self._wait()
        if self.closed:
            raise OSError(_ENOTCONN)
        if self._next == self._acked:
            self._retry_ms = _RETRY_MS
            self._sent_at = time.ticks_ms()
        k = self._next & (_WINDOW - 1)
        n = wire.encode(self._out[k], _DATA, channel, self._next, self._session, payload)
        self._out_lengths[k] = n
        self._sent.add(payload)
        self._next = (self._next + 1) & 0xFFFF
        self._write(self._out[k], n)

    def flush(self):
        """Waits until the host has everything that was sent."""
        while self._next != self._acked:
            self._wait()

    def close(self, gave_up=False):
        """Ends the session: BYE, from whichever side it comes first. `gave_up`: nothing is waited for."""
        if not self._session:
            return
        self._heard = start = time.ticks_ms()
        try:
            if not (gave_up or self.closed):
                self.flush()
            while time.ticks_diff(time.ticks_ms(), start) < _GOODBYE_MS and not self._farewell:
                if not self.closed:
                    self._repeat_bye(gave_up)
                elif self._bye_sent and self._silent_ms() > _LINGER_MS:
                    break
                time.sleep_ms(1)
                self.poll()
        finally:
            self._session = 0
            self.closed = True

    def poll(self):
        """Reads everything that is there, obeys urgent frames, acknowledges."""
        rx = self._rx
        for _ in range(_FRAMES_A_POLL):
            n = rx.poll()
            if n < 0:
                break
            if rx.session == self._session:
                self._heard = time.ticks_ms()
                self._on_frame(rx.type, n)
            elif rx.type == _BYE and not rx.session:
                self.stop = self.closed = self._farewell = True
            else:
                self.foreign += 1
        damaged = rx.corrupt + rx.oversize
        if damaged != self._damaged:
            self._damaged = damaged
            self._nak_due = self._gap = True
        if self._nak_due:
            self._answer(_NAK)
        elif self._ack_due:
            self._answer(_ACK)
        if self._next != self._acked:
            self._retry()
        elif self._bye_due:
            self._send_bye(False)
        if self._silent_ms() > self._quiet_ms:
            raise OSError(ETIMEDOUT)

    def _on_hello(self, payload):
        rx = self._rx
        out = bytearray(wire.frame_size(len(self._welcome)))
        n = wire.encode(out, _WELCOME, 0, 0, rx.session, self._welcome)
        if payload[0] == VERSION:
            self._granted = payload[1]
            self.limit = min(LIMIT, payload[2] | payload[3] << 8)
            self._session = rx.session
            self._welcome = memoryview(out)[:n]  # for a HELLO that is repeated
        self._write(out, n)

    def _on_frame(self, kind, n):
        rx = self._rx
        if kind == _DATA:
            self._on_data(n)
        elif kind == _ACK or kind == _NAK:
            self._on_ack(rx.sequence, rx.channel, kind == _NAK)
        elif kind >= _STOP:
            self._on_urgent(kind, rx.sequence)
        elif kind == _BYE:
            self.closed = True
            if rx.channel & _HEARD:
                self._farewell = True
            else:
                self._bye_due = True
        elif kind == _HELLO:
            self._write(self._welcome, len(self._welcome))

    def _on_data(self, n):
        rx = self._rx
        ahead = (rx.sequence - self._expected) & 0xFFFF
        if ahead == 0 and self._count < self._slots:
            k = self._tail
            self._received.add(self._buffers[k], n)
            self._channels[k] = rx.channel
            self._lengths[k] = n
            self._tail = k = (k + 1) % len(self._buffers)
            rx.buffer = self._buffers[k]
            self._count += 1
            self._expected = (self._expected + 1) & 0xFFFF
            self._gap = False  # acknowledged when it is released, with the credit that gives
        elif ahead >= 0x8000:
            self.duplicates += 1
            self._ack_due = True
        elif not self._gap:
            self._nak_due = self._gap = True

    def _on_ack(self, sequence, credit, again):
        done = (sequence - self._acked) & 0xFFFF
        if done > (self._next - self._acked) & 0xFFFF:
            return
        if done:
            self._acked = sequence
            self._sent_at = time.ticks_ms()
            self._retry_ms = _RETRY_MS
        granted = (sequence + credit) & 0xFFFF
        if (granted - self._granted) & 0xFFFF < 0x8000:
            self._granted = granted
        if again and time.ticks_diff(time.ticks_ms(), self._resent_at) >= _NAK_MS:
            self._resend()

    def _on_urgent(self, kind, number):
        status = b""
        if kind == _STOP:
            self.stop = True
        elif kind == _PAUSE:
            self.paused = True
        elif kind == _RESUME:
            self.paused = False
        elif kind == _STATUS:
            if self.on_status:
                status = self.on_status()
        else:
            return
        # Behind the report the host takes for lost what is not acknowledged.
        self._answer(_ACK)
        flags = self.stop | self.paused << 1
        n = wire.encode(self._small, _REPORT, flags, number, self._session, status)
        self._write(self._small, n)

    def _answer(self, kind):
        credit = self._slots - self._count
        n = wire.encode(self._small, kind, credit, self._expected, self._session, b"")
        self._ack_due = self._nak_due = False
        self._write(self._small, n)

    def _send_bye(self, gave_up):
        flags = (_GAVE_UP if gave_up else 0) | (_HEARD if self.closed else 0)
        self._sent.pack_into(self._goodbye, 0)
        self._received.pack_into(self._goodbye, 12)
        n = wire.encode(self._small, _BYE, flags, 0, self._session, self._goodbye)
        self._bye_due = False
        self._bye_sent = True
        self._write(self._small, n)

    def _repeat_bye(self, gave_up):
        if not self._bye_sent or time.ticks_diff(time.ticks_ms(), self._sent_at) >= _RETRY_MS:
            self._sent_at = time.ticks_ms()
            self._send_bye(gave_up)

    def _retry(self):
        if time.ticks_diff(time.ticks_ms(), self._sent_at) >= self._retry_ms:
            self._resend()
            self._retry_ms = min(2 * self._retry_ms, _RETRY_MAX_MS)

    def _resend(self):
        sequence = self._acked
        while sequence != self._next:
            k = sequence & (_WINDOW - 1)
            self._write(self._out[k], self._out_lengths[k])
            self.retransmitted += 1
            sequence = (sequence + 1) & 0xFFFF
        self._sent_at = self._resent_at = time.ticks_ms()

    def _silent_ms(self):
        return time.ticks_diff(time.ticks_ms(), self._heard)

    def _wait(self):
        if self.closed:
            raise OSError(_ENOTCONN)
        time.sleep_ms(1)
        self.poll()

    def _write(self, frame, n):
        if self._stdout.write(frame, n) != n:
            self.cut += 1
