"""The pty that plays a serial port."""

import os
import time

import pytest
import serial

from fieldtune.emulate.serial_port import SerialPort


@pytest.fixture
def port(tmp_path):
    port = SerialPort(tmp_path / "port")
    yield port
    port.close()


def test_the_link_names_the_device(port):
    assert os.readlink(port.link) == port.device


def test_opening_and_closing_are_noticed(port):
    assert not port.update()
    assert not port.is_open
    with serial.Serial(str(port.link)):
        assert port.update()
        assert port.is_open
    assert port.update()
    assert not port.is_open


def test_the_speed_is_seen_when_it_was_set_and_after_the_port_was_closed(port):
    with serial.Serial(str(port.link), 1200):
        port.update()
        assert port.baud == 1200
    with serial.Serial(str(port.link), 9600):
        port.update()
    port.update()
    assert (port.is_open, port.baud) == (False, 9600)


def test_settings_do_not_outlast_the_program_that_made_them(port):
    with serial.Serial(str(port.link), 1200):
        port.update()
    port.update()
    port.reset_settings()
    with open(port.link, "rb+", buffering=0):
        port.update()
        assert port.baud == 115200


def test_bytes_pass_unchanged_both_ways(port):
    everything = bytes(range(256))
    with serial.Serial(str(port.link), timeout=5) as user:
        user.write(everything)
        assert port.read() == everything
        assert port.write(everything) == len(everything)
        assert user.read(len(everything)) == everything


def test_what_was_written_before_closing_is_still_read(port):
    with serial.Serial(str(port.link)) as user:
        port.update()
        user.write(b"last words")
    port.update()
    assert not port.is_open
    assert port.read() == b"last words"
    assert port.read() == b""


def test_a_full_pty_takes_no_more_and_drops_nothing(port):
    with serial.Serial(str(port.link), timeout=1) as user:
        sent = 0
        while taken := port.write(b"\x55" * 4096):
            sent += taken
            assert sent < 1 << 20  # a pty that takes this much has no limit
        received = b""
        end = time.monotonic() + 5
        while len(received) < sent and time.monotonic() < end:
            received += user.read(4096)
        assert received == b"\x55" * sent


def test_closing_removes_the_link_unless_it_is_somebody_elses(tmp_path):
    first = SerialPort(tmp_path / "port")
    second = SerialPort(tmp_path / "port")
    first.close()
    assert os.readlink(tmp_path / "port") == second.device
    second.close()
    assert not (tmp_path / "port").is_symlink()
