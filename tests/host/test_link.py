"""The host's end of the link, against a board that is played frame by frame."""

import struct
import time
from contextlib import suppress

import pytest
import serial

from fieldtune.errors import (
    DataLost,
    DeviceRaised,
    FieldtuneError,
    Incompatible,
    TimedOut,
    UsageError,
)
from fieldtune.link import frame as wire
from fieldtune.link.frame import Frame, Splitter, Type
from fieldtune.link.handshake import HEARD
from fieldtune.link.link import Link
from fieldtune.link.window import Tally

GAVE_UP = 1
WELCOME = struct.pack("<BBH", wire.VERSION, 3, 1024)


class Board:
    """A port with a board behind it that answers at once, unless it is told to be silent."""

    def __init__(self):
        self.timeout = self.write_timeout = None
        self.inbox = b""
        self.heard: list[Frame] = []
        self.splitter = Splitter()
        self.session = 0
        self.expected = 0
        self.received, self.sent = Tally(), Tally()
        self.silent = False
        self.vanished = False
        self.welcome = WELCOME + b'{"board": "test"}'
        self.credit = 3

    @property
    def in_waiting(self) -> int:
        if self.vanished:
            raise serial.SerialException("device disconnected")
        return len(self.inbox)

    def read(self, size: int) -> bytes:
        if not self.inbox and size:
            time.sleep(self.timeout / 10)
        data, self.inbox = self.inbox[:size], self.inbox[size:]
        return data

    def write(self, data: bytes) -> int:
        for frame in self.splitter.feed(data):
            self.heard.append(frame)
            if not self.silent:
                self.hear(frame)
        return len(data)

    def say(self, type_: Type, channel=0, sequence=0, payload=b"") -> None:
        self.inbox += wire.encode(Frame(type_, channel, sequence, self.session, payload))

    def ack(self) -> None:
        self.say(Type.ACK, self.credit, self.expected)

    def bye(self, flags: int) -> None:
        counts = self.sent.on_wire() + self.received.on_wire()
        self.say(Type.BYE, flags, 0, struct.pack("<6I", *counts))

    def hear(self, frame: Frame) -> None:
        if frame.type == Type.HELLO:
            self.session = frame.session
            self.say(Type.WELCOME, payload=self.welcome)
        elif frame.type == Type.DATA and frame.sequence == self.expected:
            self.expected += 1
            self.received.add(frame.payload)
            self.ack()
        elif frame.type == Type.STATUS:
            self.ack()
            self.say(Type.REPORT, 0, frame.sequence, b"fine")
        elif frame.type == Type.BYE and not frame.channel & HEARD:
            self.bye(HEARD)

    def of_type(self, type_: Type) -> list[Frame]:
        return [frame for frame in self.heard if frame.type == type_]


@pytest.fixture
def board():
    return Board()


def opened(board: Board, **options) -> Link:
    link = Link(board, **{"timeout": 1.0, **options})
    link.open()
    return link


def test_open_returns_the_identity_of_the_board(board):
    link = Link(board)
    assert link.open() == {"board": "test"}
    assert link.identity == {"board": "test"}


def test_a_hello_holds_no_ctrl_c(board):
    # A board that is not listening yet would take 0x03 for an interrupt. By chance alone one HELLO
    # in ten holds one: four bytes of CRC, four of session.
    for _ in range(100):
        Link(board).open()
    assert not any(b"\x03" in wire.encode(frame) for frame in board.of_type(Type.HELLO))


def test_a_silent_board_times_out_with_what_it_printed(board):
    board.silent = True
    board.inbox = b"Traceback:\r\nImportError: no module\r\n"
    with pytest.raises(TimedOut) as raised:
        Link(board, timeout=0.6).open()
    assert raised.value.why == "Traceback:\nImportError: no module"
    # at 0, 0.25 and 0.5 s
    assert len(board.of_type(Type.HELLO)) == 3


def test_another_version_is_incompatible(board):
    board.welcome = bytes([2]) + WELCOME[1:] + b"{}"
    with pytest.raises(Incompatible, match="version 2 of the link, this host 1") as raised:
        opened(board)
    assert raised.value.exit_code == 9


@pytest.mark.parametrize(
    "welcome", [b"", WELCOME[:2], WELCOME, WELCOME + b"[]", WELCOME + b"[" * 1000, b"\1\3\0\4\xff"]
)
def test_a_welcome_without_sense_is_incompatible(board, welcome):
    board.welcome = welcome
    with pytest.raises(Incompatible):
        opened(board)


def test_no_more_is_sent_than_the_board_has_granted(board):
    link = opened(board, timeout=0.3)
    board.silent = True
    with pytest.raises(TimedOut, match="takes no data"):
        for n in range(10):
            link.send(1, bytes([n]))
    assert len(board.of_type(Type.DATA)) == 3


def test_a_nak_brings_everything_from_there_on_again(board):
    link = opened(board)
    board.silent = True
    for n in range(3):
        link.send(1, bytes([n]))
    board.say(Type.NAK, 3, 1)
    link.service()
    assert [f.sequence for f in board.of_type(Type.DATA)] == [0, 1, 2, 1, 2]
    assert link.statistics.retransmitted == 2


def test_a_busy_board_gets_a_question_instead_of_duplicates(board):
    link = opened(board, timeout=2)
    board.silent = True
    link.send(1, b"x")
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        link.service(wait=True)
    assert len(board.of_type(Type.STATUS)) == 1
    assert len(board.of_type(Type.DATA)) == 1


def test_what_a_report_shows_to_be_lost_is_sent_again(board):
    link = opened(board)
    board.silent = True
    link.send(1, b"x")
    board.silent = False
    link.flush()
    assert len(board.of_type(Type.DATA)) == 2
    assert board.received.frames == 1


def test_outdated_acknowledgements_change_nothing(board):
    link = opened(board)
    for n in range(2):
        link.send(1, bytes([n]))
    board.say(Type.ACK, 0, 1)
    board.say(Type.ACK, 9, 0x8000)
    link.service()
    for n in range(3):
        link.send(1, bytes([n]))
    link.close()
    assert link.statistics.retransmitted == 0


def test_data_arrives_in_order_once_and_a_gap_is_answered_by_one_nak(board):
    link = opened(board)
    for sequence in (0, 0, 2, 3):
        board.say(Type.DATA, 5, sequence, bytes([sequence]))
    assert link.receive(0.1) == (5, b"\0")
    assert link.receive(0.05) is None
    assert [f.sequence for f in board.of_type(Type.NAK)] == [1]
    assert link.statistics.duplicates == 1
    for sequence in (1, 2):
        board.say(Type.DATA, 5, sequence, bytes([sequence]))
    assert [link.receive(0.1), link.receive(0.1)] == [(5, b"\1"), (5, b"\2")]


def test_a_sequence_wraps_at_65536(board):
    link = opened(board)
    for n in range(65540):
        board.say(Type.DATA, 0, n & 0xFFFF, b"")
        assert link.receive() == (0, b"")
        board.inbox = b""
    assert link.statistics.frames_received == 65540


def test_a_corrupt_frame_is_answered_by_a_nak(board):
    link = opened(board)
    damaged = bytearray(wire.encode(Frame(Type.DATA, 0, 0, board.session, b"\x90" * 50)))
    damaged[30] ^= 1
    board.inbox = bytes(damaged)
    link.service()
    assert [f.sequence for f in board.of_type(Type.NAK)] == [0]
    assert link.statistics.corrupt == 1


def test_frames_of_another_session_are_ignored_and_counted(board):
    link = opened(board)
    board.inbox = wire.encode(Frame(Type.DATA, 0, 0, board.session + 1, b"x"))
    assert link.receive(0.05) is None
    assert link.statistics.foreign == 1


def test_a_stop_is_repeated_until_the_board_reports(board):
    link = opened(board, timeout=2)
    board.silent = True
    link.stop()
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        link.service(wait=True)
    first, again = board.of_type(Type.STOP)
    assert first == again
    board.say(Type.REPORT, 1, first.sequence)
    link.service()
    assert link.stopped
    time.sleep(0.6)
    link.service()
    assert len(board.of_type(Type.STOP)) == 2


def test_status_returns_what_the_board_reports(board):
    assert opened(board).status() == b"fine"


def test_a_board_that_stays_silent_times_out(board):
    link = opened(board, timeout=0.3)
    board.silent = True
    with pytest.raises(TimedOut, match="silent for 0.3 s"):
        link.receive()


def test_an_idle_link_is_kept_alive(board):
    link = opened(board, timeout=10)
    assert link.receive(2.3) is None
    # one STATUS after 2 s without a word
    assert len(board.of_type(Type.STATUS)) == 1


def test_a_vanished_port_is_lost_data(board):
    link = opened(board)
    board.vanished = True
    with pytest.raises(DataLost) as raised:
        link.receive()
    assert raised.value.exit_code == 8


def test_close_returns_the_statistics_and_restores_the_port(board):
    link = opened(board)
    link.send(1, b"abc")
    assert link.close().as_dict() == {
        "frames_sent": 1,
        "bytes_sent": 3,
        "frames_received": 0,
        "bytes_received": 0,
        "retransmitted": 0,
        "corrupt": 0,
        "duplicates": 0,
        "foreign": 0,
        "text_bytes": 0,
        "credit_waits": 0,
    }
    assert (board.timeout, board.write_timeout) == (None, None)
    assert [f.channel for f in board.of_type(Type.BYE)] == [0, HEARD]


@pytest.mark.parametrize("way", ["to the board", "from the board"])
def test_counts_that_differ_are_lost_data(board, way):
    link = opened(board)
    link.send(1, b"abc")
    tally = board.received if way == "to the board" else board.sent
    tally.crc ^= 1
    with pytest.raises(DataLost, match=f"lost on the way {way}"):
        link.close()


def test_a_board_that_gives_up_is_quoted(board):
    link = opened(board)
    board.bye(GAVE_UP)
    board.inbox += b"\x04Traceback (most recent call last):\r\nValueError: no\r\n\x04>"
    with pytest.raises(DeviceRaised) as raised:
        link.receive()
    assert raised.value.why.endswith("\nValueError: no")
    assert (board.heard[-1].type, board.heard[-1].channel) == (Type.BYE, HEARD)


def test_code_that_ends_without_a_goodbye_is_noticed_by_the_prompt(board):
    link = opened(board, timeout=60)
    board.inbox = b"\x04Traceback (most recent call last):\r\nMemoryError\r\n\x04>"
    with pytest.raises(DeviceRaised) as raised:
        link.receive()
    assert raised.value.why == "Traceback (most recent call last):\nMemoryError"


def test_output_is_escaped_for_terminals(board):
    shown = []
    link = opened(board, on_text=shown.append)
    board.inbox = "a\x1b[2J\tb\r\ngrün \u202e\r\n".encode()
    link.service()
    assert "".join(shown) == "a\\x1b[2J\tb\ngrün \\u202e\n"


def test_outside_a_session_nothing_can_be_sent(board):
    link = opened(board)
    link.close()
    for use in (lambda: link.send(0, b""), link.flush, link.stop, link.status):
        with pytest.raises(FieldtuneError, match="outside a session"):
            use()


def test_too_long_a_payload_is_refused(board):
    with pytest.raises(UsageError, match="1025 bytes"):
        opened(board).send(0, bytes(1025))


def test_an_exception_inside_the_session_tells_the_board_to_leave(board):
    with suppress(KeyboardInterrupt), Link(board):
        raise KeyboardInterrupt
    assert (board.heard[-1].type, board.heard[-1].session) == (Type.BYE, wire.ANY_SESSION)
