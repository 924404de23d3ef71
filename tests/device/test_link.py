"""Both ends of the link: the host's in Python, the board's in MicroPython, faults between them."""

import os
import pty
import random
import re
import subprocess
import time
import tty
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial

from fieldtune.errors import DeviceRaised, Incompatible
from fieldtune.link import frame as wire
from fieldtune.link import handshake
from fieldtune.link.frame import Frame, Splitter, Type
from fieldtune.link.link import Link

PEER = Path(__file__).with_name("link_peer.py")


@contextmanager
def peer(micropython: Path, mode: str):
    """Runs link_peer.py in MODE. Yields the port at which it is reached, and the process."""
    board, host = pty.openpty()
    tty.setraw(board)
    tty.setraw(host)
    # Kept open here too: a board's port does not vanish when a program on it ends.
    process = subprocess.Popen([micropython, PEER, mode], stdin=board, stdout=board, stderr=board)
    port = serial.Serial(os.ttyname(host), timeout=2)
    try:
        yield port, process
    finally:
        process.kill()
        process.wait()
        port.close()
        os.close(host)
        os.close(board)


class Faults:
    """A port that damages frames in both directions: each fault hits `rate` of them."""

    def __init__(self, port, seed: int, rate: float):
        self.port = port
        self.random = random.Random(seed)
        self.rate = rate
        self.timeout = self.write_timeout = None
        self.arriving = b""
        self.inbox = b""
        self.held = {"in": b"", "out": b""}
        self.count = 0

    @property
    def in_waiting(self) -> int:
        self.arriving += self.port.read(self.port.in_waiting)
        while whole := re.match(rb"[^\0]*\0[^\0]+\0", self.arriving):
            self.inbox += self.damaged(whole[0], "in")
            self.arriving = self.arriving[whole.end() :]
        return len(self.inbox)

    def read(self, size: int) -> bytes:
        if not self.in_waiting:
            time.sleep(0.002)
        data, self.inbox = self.inbox[:size], self.inbox[size:]
        return data

    def write(self, frame: bytes) -> None:
        self.port.write(self.damaged(frame, "out"))

    def damaged(self, frame: bytes, way: str) -> bytes:
        held, self.held[way] = self.held[way], b""
        fault = int(self.random.random() / self.rate)
        self.count += fault < 5
        if fault == 0:  # drop
            frame = b""
        elif fault == 1:  # duplicate
            frame += frame
        elif fault == 2:  # corrupt
            at = self.random.randrange(len(frame))
            frame = frame[:at] + self.random.randbytes(1) + frame[at + 1 :]
        elif fault == 3:  # truncate
            frame = frame[: self.random.randrange(len(frame))]
        elif fault == 4:  # reorder
            self.held[way] = frame
            frame = b""
        return frame + held


def payloads(count: int, seed: int) -> list[tuple[int, bytes]]:
    """Messages of all lengths up to the limit, a part of them full of zeros."""
    rng = random.Random(seed)
    lengths = [rng.choice((0, 1, 100, 253, 254, 255, 1023, 1024)) for _ in range(count)]
    fill = (bytes, rng.randbytes)
    return [(rng.randrange(256), rng.choice(fill)(length)) for length in lengths]


def exchange(link: Link, sent: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Sends all and receives as many."""
    received = []
    for channel, payload in sent:
        link.send(channel, payload)
        while got := link.receive(0):
            received.append(got)
    while len(received) < len(sent):
        received.append(link.receive())
    return received


def test_what_is_sent_comes_back_in_order(micropython):
    with peer(micropython, "echo") as (port, process):
        link = Link(port)
        assert link.open() == {"board": "unix"}
        sent = payloads(200, seed=1)
        assert exchange(link, sent) == sent
        statistics = link.close()
        assert port.read_until(b"\n") == b"left\n"
        assert process.wait(5) == 0
    assert (statistics.retransmitted, statistics.corrupt, statistics.duplicates) == (0, 0, 0)
    assert statistics.frames_sent == statistics.frames_received == 200
    assert statistics.bytes_sent == sum(len(payload) for _channel, payload in sent)


@pytest.mark.parametrize("seed", range(4))
def test_no_fault_of_the_line_reaches_the_user(micropython, seed):
    with peer(micropython, "echo") as (port, _process):
        faults = Faults(port, seed, rate=0.01)
        with Link(faults, timeout=10) as link:
            sent = payloads(60, seed)
            assert exchange(link, sent) == sent
    # 60 frames each way and as many acknowledgements, five faults at 1 % each: about 12
    assert faults.count >= 4


def test_what_the_board_sends_by_itself_arrives(micropython):
    with peer(micropython, "source") as (port, _process), Link(port) as link:
        for n in range(60):
            assert link.receive() == (n & 7, bytes([n]) * (17 * n))


def test_stop_overtakes_data_that_the_board_does_not_take(micropython):
    shown = []
    with peer(micropython, "stuck") as (port, _process):
        with Link(port, on_text=shown.append) as link:
            for _ in range(3):
                link.send(1, bytes(1024))
            assert not link.stopped
            link.pause()
            link.stop()
            link.status()
            assert link.stopped
            assert link.paused
            link.resume()
            link.status()
            assert not link.paused
            # All was taken in before the report, so nothing was sent twice.
            assert link.statistics.retransmitted == 0
            link.send(1, b"the fourth needs room, which comes after the stop")
    assert "".join(shown) == "stopped\n"


def test_the_board_grants_no_more_than_it_has_room_for(micropython):
    with peer(micropython, "stuck") as (port, _process), Link(port) as link:
        for _ in range(3):
            link.send(1, bytes(1024))
        link.status()
        assert not link._out.has_credit
        assert not link._out.frames
        link.stop()


def test_waiting_is_counted_only_while_there_is_nothing(micropython):
    with peer(micropython, "waits") as (port, _), Link(port) as link:
        time.sleep(0.2)
        link.send(0, b"the board waits for this")
        link.send(0, b"and finds this one there")
        first, second = (int(link.receive()[1]) for _ in range(2))
    # 0.2 s, less what the board takes to begin, and not a microsecond.
    assert first > 100_000
    assert second == 0


def test_output_between_frames_reaches_the_user(micropython):
    shown = []
    with peer(micropython, "talkative") as (port, _process):
        with Link(port, on_text=shown.append) as link:
            assert [link.receive() for _ in range(20)] == [(1, bytes([n])) for n in range(20)]
    assert "".join(shown) == "".join(f"line {n}\n" for n in range(20))


def test_an_exception_on_the_board_reaches_the_user(micropython):
    with peer(micropython, "fails") as (port, _process), pytest.raises(DeviceRaised) as raised:
        with Link(port) as link:
            link.send(1, b"go")
            link.receive()
    assert raised.value.why.endswith("ValueError: on purpose")


def test_the_board_gives_up_on_a_silent_host(micropython):
    with peer(micropython, "quiet") as (port, process):
        Link(port).open()
        assert process.wait(5) == 1
        assert b"ETIMEDOUT" in port.read(10000)


def test_the_board_leaves_when_any_session_is_ended(micropython):
    with peer(micropython, "sink") as (port, process):
        Link(port).open()
        port.write(handshake.end_any_session())
        assert process.wait(5) == 0


def test_the_board_answers_another_version_with_its_own(micropython):
    with peer(micropython, "sink") as (port, process):
        port.write(wire.encode(Frame(Type.HELLO, 0, 0, 77, b"\x09\x08\x00\x04")))
        (answer,) = Splitter().feed(port.read_until(b"\0") + port.read_until(b"\0"))
        assert answer.type == Type.WELCOME
        assert answer.payload == b'\x01\x03\x00\x04{"board": "unix"}'
        assert process.poll() is None
        assert Link(port).open() == {"board": "unix"}


def test_a_host_of_another_version_is_told(micropython, monkeypatch):
    monkeypatch.setattr(wire, "VERSION", 9)
    with peer(micropython, "sink") as (port, _process):
        with pytest.raises(Incompatible, match="version 1 of the link, this host 9"):
            Link(port).open()


def test_frames_of_another_session_are_ignored_and_counted(micropython):
    with peer(micropython, "sink") as (port, _process), Link(port) as link:
        for _ in range(5):
            port.write(wire.encode(Frame(Type.DATA, 0, 0, link._session ^ 1, b"x")))
        assert link.status() == b"0 5"
        link.send(1, b"mine")


def test_garbage_does_not_hang_the_board(micropython):
    rng = random.Random(3)
    with peer(micropython, "echo") as (port, _process), Link(port) as link:
        for garbage in (b"\xff" * 20000, bytes(20000), rng.randbytes(20000)):
            for at in range(0, len(garbage), 1000):
                port.write(garbage[at : at + 1000])
                link.service()
            link.send(2, b"still there")
            assert link.receive() == (2, b"still there")


def test_a_frame_allocates_next_to_nothing_on_the_board(micropython):
    with peer(micropython, "lean") as (port, _process), Link(port) as link:
        for _ in range(2):
            link.send(1, bytes(1000))
            assert link.receive() == (1, bytes(1000))
        channel, used = link.receive()
    # a tuple, a memoryview and the slice that made it, one block of 32 bytes each
    assert (channel, int(used)) == (9, 96)
