"""What a host can ask of the board during a session: push, pull, start, samples, finish. docs/session.md lists it all."""

import gc
import hashlib
import json
import os
import sys
import time

from binascii import hexlify
from micropython import const

from fieldtune.board import board
from fieldtune.description import is_int
from fieldtune.link import Link
from fieldtune.model import load
from fieldtune.model_file import remove

_CONTROL = const(0)
_SAMPLES = const(1)
_FILE = const(2)
_METRICS = const(3)

_MESSAGE_LIMIT = const(8192)
_FILE_LIMIT = const(1 << 24)
_INT_LIMIT = const(0x3FFFFFFF)
MODEL = "model.safetensors"  # as it was pushed
ADAPTED = "adapted.safetensors"  # as training left it


def _dumps(value):
    return json.dumps(value, separators=(",", ":")).encode()


def _digest(path):
    """(bytes, sha256 in hex) of a file."""
    digest, size, chunk = hashlib.sha256(), 0, bytearray(1024)
    with open(path, "rb") as file:
        while True:
            n = file.readinto(chunk)
            if not n:
                return size, hexlify(digest.digest()).decode()
            digest.update(memoryview(chunk)[:n])
            size += n


def current():
    """The file of the model in use: the adapted one if there is one. Raises ValueError where there is none."""
    for name in (ADAPTED, MODEL):
        try:
            os.stat(name)
            return name
        except OSError:
            pass
    raise ValueError("there is no model on the board yet: host push sends one")


def _number(message, key, low, high):
    """A number of a request. Raises ValueError."""
    value = message.get(key)
    if not is_int(value, low, high):
        raise ValueError("request: " + key)
    return value


class _Incoming:
    """A model that the host pushes: kept apart until it is whole, has the right hash and is valid."""

    def __init__(self, size, sha256):
        self._left, self._sha256 = size, sha256
        self._part = MODEL + ".part"
        self._file = open(self._part, "wb")

    def write(self, data):
        """Takes the next bytes. True once all are there."""
        self._file.write(data)
        self._left -= len(data)
        return self._left <= 0

    def finish(self):
        try:
            self._file.close()
            size, sha256 = _digest(self._part)
            if self._left or sha256 != self._sha256:
                raise ValueError("file damaged on the way")
            gc.collect()
            load(self._part).check()
            os.rename(self._part, MODEL)
            remove(ADAPTED)
        except Exception:
            remove(self._part)
            raise
        return {"ok": "pushed", "bytes": size, "sha256": sha256}

    def abandon(self):
        self._file.close()
        remove(self._part)


class Session:
    """Answers one host until it says goodbye."""

    def __init__(self, link):
        self._link = link
        self._message = bytearray()
        self._id = None  # of the request that is being answered
        self._incoming = None
        self._model = None
        self._trainer = None
        self._sample = bytearray()
        self._every = 1
        self._ticked = self._elapsed = 0
        link.on_status = self._status

    def run(self):
        link = self._link
        try:
            while not link.closed:
                item = link.receive(1000)
                self._tick()
                if link.paused and not link.stop:
                    time.sleep_ms(1)
                elif item:
                    try:
                        self._take(*item)
                    finally:
                        link.release()
        finally:
            if self._incoming:
                self._incoming.abandon()

    def _take(self, channel, payload):
        self._id = None
        try:
            if channel == _SAMPLES:
                self._samples(payload)
            elif channel == _FILE:
                self._file(payload)
            elif channel == _CONTROL:
                self._control(payload)
        except OSError as error:
            if self._link.closed:
                raise
            self._fail(error)
        except Exception as error:
            self._fail(error)

    def _fail(self, error):
        if self._incoming:
            self._incoming.abandon()
        self._incoming = self._trainer = None
        self._reply({"error": type(error).__name__, "message": str(error)})

    def _reply(self, message):
        if self._id is not None:
            message["id"] = self._id
        data = memoryview(_dumps(message) + b"\n")
        for at in range(0, len(data), self._link.limit):
            self._link.send(_CONTROL, data[at : at + self._link.limit])

    def _control(self, payload):
        """A message is a line of JSON; it may span frames."""
        self._message.extend(payload)
        if len(self._message) > _MESSAGE_LIMIT:
            self._message = bytearray()
            raise ValueError("message too long")
        if self._message[-1] == 10:
            text, self._message = self._message, bytearray()
            message = json.loads(text)
            if not isinstance(message, dict):
                raise ValueError("a request is an object")
            self._id = message.get("id")
            action = _ACTIONS.get(message.get("do"))
            if not action:
                raise ValueError("unknown request")
            action(self, message)

    def _push(self, message):
        self._trainer = self._model = None
        if self._incoming:
            self._incoming.abandon()
        gc.collect()
        self._incoming = _Incoming(_number(message, "bytes", 1, _FILE_LIMIT), message.get("sha256"))
        self._reply({"ok": "push"})

    def _file(self, payload):
        if self._incoming and self._incoming.write(payload):
            incoming, self._incoming = self._incoming, None
            self._reply(incoming.finish())

    def _pull(self, _message):
        name = current()
        size, sha256 = _digest(name)
        self._reply({"ok": "pull", "name": name, "bytes": size, "sha256": sha256})
        chunk = bytearray(self._link.limit)
        with open(name, "rb") as file:
            while True:
                n = file.readinto(chunk)
                if not n:
                    break
                self._link.send(_FILE, memoryview(chunk)[:n])

    def _start(self, message):
        self._trainer = self._model = None
        gc.collect()
        self._model = load(current())
        gc.collect()
        self._trainer = self._model.trainer(
            message.get("task"),
            message.get("plan"),
            rate=_number(message, "rate", 0, _INT_LIMIT),
            total=_number(message, "total", 0, _INT_LIMIT),
            seed=_number(message, "seed", 0, _INT_LIMIT),
            labelled=bool(_number(message, "labelled", 0, 1)),
        )
        self._every = _number(message, "every", 1, _INT_LIMIT)
        self._link.stop = False
        self._sample = bytearray()
        gc.collect()
        self._link.waited_us, self._ticked, self._elapsed = 0, time.ticks_us(), 0
        self._reply({"ok": "start", "ram_free_bytes": gc.mem_free(), "step": self._trainer.step})

    def _samples(self, payload):
        if self._trainer and not self._link.stop:
            if self._trainer.record > self._link.limit:
                # Longer than a frame: it comes in parts.
                self._sample.extend(payload)
                if len(self._sample) < self._trainer.record:
                    return
                payload, self._sample = self._sample, bytearray()
            self._trainer.feed(payload)
            if self._trainer.sums["steps"] >= self._every:
                self._report()

    def _tick(self):
        """Adds up the time in short stretches: ticks_us itself wraps after nine minutes."""
        now = time.ticks_us()
        self._elapsed += time.ticks_diff(now, self._ticked)
        self._ticked = now

    def _report(self):
        """The sums since the last report, as integers: nats * 256, cycles in kernels, microseconds in all and waited."""
        self._tick()
        sums = self._trainer.sums
        sums["step"] = self._trainer.step
        sums["us"], sums["wait_us"] = self._elapsed, self._link.waited_us
        self._link.waited_us = self._elapsed = 0
        self._link.send(_METRICS, _dumps(sums))
        self._trainer.reset()

    def _finish(self, _message):
        trainer = self._trainer
        if not trainer:
            raise ValueError("nothing was started")
        if not self._link.stop:
            trainer.run()
        if trainer.sums["steps"]:
            self._report()
        answer = {"ok": "finish", "samples": trainer.samples, "step": trainer.step, "stopped": self._link.stop}
        if trainer.training:
            self._model.save(ADAPTED)
            answer["bytes"], answer["sha256"] = _digest(ADAPTED)
        self._trainer = None
        self._reply(answer)

    def _status(self):
        trainer = self._trainer
        return _dumps({"samples": trainer.samples, "step": trainer.step} if trainer else {})


_ACTIONS = {"push": Session._push, "pull": Session._pull, "start": Session._start, "finish": Session._finish}


def serve():
    """Waits for a host and answers it. Ctrl-C has no meaning until it is gone: stop is a frame."""
    with Link(sys.stdin.buffer, sys.stdout.buffer, _dumps(board())) as link:
        Session(link).run()
