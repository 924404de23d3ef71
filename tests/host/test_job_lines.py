"""Lines as they come: whole, at once, and with time for other things while there are none."""

import os

import pytest

from fieldtune.stream.lines import Lines


@pytest.fixture
def pipe():
    """(Lines of a pipe, its other end)."""
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb", buffering=0) as writer:
        yield Lines(ours), writer
    os.close(ours)


def test_lines_come_whole_however_they_were_written(pipe):
    lines, writer = pipe
    for part in (b"1,2\n3", b",4\n", b"\n5"):
        writer.write(part)
    writer.close()
    assert list(lines) == ["1,2\n", "3,4\n", "\n", "5"]


def test_characters_cut_in_two_are_one(pipe):
    lines, writer = pipe
    lines.idle = lambda: writer.write("é\n".encode()[1:])
    writer.write("é".encode()[:1])
    assert next(lines) == "é\n"


def test_byte_order_mark_is_no_part_of_the_first_line(pipe):
    lines, writer = pipe
    writer.write(b"\xef\xbb\xbfx\n")
    assert next(lines) == "x\n"


def test_bytes_that_are_not_utf_8_are_kept_for_the_error_about_them(pipe):
    lines, writer = pipe
    writer.write(b"\xff\n")
    assert next(lines).encode("utf-8", "surrogateescape") == b"\xff\n"


def test_idle_is_called_while_there_is_no_line(pipe):
    lines, writer = pipe
    calls = []

    def idle():
        calls.append(1)
        if len(calls) == 2:
            writer.write(b"late\n")

    lines.idle = idle
    assert next(lines) == "late\n"
    assert len(calls) == 2


def test_ready_only_when_a_whole_line_is_there(pipe):
    lines, writer = pipe
    assert not lines.ready
    writer.write(b"half")
    assert not lines.ready
    writer.write(b" and half\n")
    assert lines.ready
    assert next(lines) == "half and half\n"
    assert not lines.ready
