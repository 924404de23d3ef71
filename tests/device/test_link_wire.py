"""The module `wire` at its door: whatever it is called with, it answers or raises, and goes on."""

import subprocess

BAD_CALLS = r"""
import io, sys, wire

out = bytearray(wire.frame_size(8))
tally = wire.Tally()
rx = wire.Receiver(sys.stdin.buffer, bytearray(32))

def assign(value):
    rx.buffer = value

def fails(kind, call, *args):
    try:
        call(*args)
    except kind:
        return
    print(call, args, "did not raise", kind)

big = 1 << 70
fails(TypeError, wire.Receiver)
fails(TypeError, wire.Receiver, sys.stdin.buffer)
fails(OSError, wire.Receiver, None, bytearray(32))
fails(OSError, wire.Receiver, 5, bytearray(32))
fails(TypeError, wire.Receiver, sys.stdin.buffer, None)
fails(TypeError, wire.Receiver, sys.stdin.buffer, b"constant")
fails(ValueError, wire.Receiver, sys.stdin.buffer, bytearray(3))
fails(TypeError, assign, "text")
fails(ValueError, assign, bytearray(0))
fails(AttributeError, setattr, rx, "type", 1)
fails(AttributeError, getattr, rx, "nothing")
fails(AttributeError, setattr, tally, "frames", 1)
fails(TypeError, wire.encode, out, 1, 0, 0, 1)
fails(TypeError, wire.encode, b"constant", 1, 0, 0, 1, b"")
fails(TypeError, wire.encode, out, 1, 0, 0, 1, None)
fails(TypeError, wire.encode, out, 1.5, 0, 0, 1, b"")
fails(ValueError, wire.encode, out, 256, 0, 0, 1, b"")
fails(ValueError, wire.encode, out, 1, -1, 0, 1, b"")
fails(ValueError, wire.encode, out, 1, 0, 65536, 1, b"")
fails(ValueError, wire.encode, out, 1, 0, 0, 1 << 30, b"")
fails(OverflowError, wire.encode, out, 1, 0, 0, big, b"")
fails(ValueError, wire.encode, out, 1, 0, 0, 1, bytes(9))
fails(ValueError, wire.encode, bytearray(0), 1, 0, 0, 1, b"")
fails(ValueError, wire.encode, bytearray(70000), 1, 0, 0, 1, bytes(65536))
fails(ValueError, wire.frame_size, -1)
fails(ValueError, wire.frame_size, 65536)
fails(TypeError, tally.add)
fails(TypeError, tally.add, 3)
fails(ValueError, tally.add, b"abc", 4)
fails(ValueError, tally.add, b"abc", -1)
fails(TypeError, tally.pack_into, bytes(12), 0)
fails(ValueError, tally.pack_into, bytearray(11), 0)
fails(ValueError, tally.pack_into, bytearray(12), 1)
fails(ValueError, tally.pack_into, bytearray(12), -1)
print("done", wire.encode(out, 1, 2, 3, 4, bytes(8)), len(out))
"""

SHRINKING = r"""
import sys, wire

# The buffer loses its bytes in the middle of a frame.
buffer = bytearray(1028)
rx = wire.Receiver(sys.stdin.buffer, buffer)
frames = 0
try:
    while True:
        if rx.poll() >= 0:
            frames += 1
            buffer[:] = bytearray(5)
except EOFError:
    pass
print(frames, rx.corrupt, rx.oversize)
"""

TALLY = r"""
import wire, binascii

t = wire.Tally()
t.add(b"abc")
t.add(bytearray(b"defgh"), 3)
out = bytearray(14)
t.pack_into(out, 1)
expected = b"\0\2\0\0\0\6\0\0\0" + binascii.crc32(b"abcdef").to_bytes(4, "little") + b"\0"
print(out == expected, t.frames, t.bytes)
"""


def run(micropython, code: str, stdin: bytes = b"") -> str:
    done = subprocess.run([micropython, "-c", code], input=stdin, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_wrong_arguments_raise_and_change_nothing(micropython):
    # 10 + 8 + 4 bytes, a COBS code and two zeros
    assert run(micropython, BAD_CALLS) == "done 25 25\n"


def test_a_buffer_that_shrinks_is_not_written_behind(micropython):
    from fieldtune.link import frame as wire
    from fieldtune.link.frame import Frame

    first = wire.encode(Frame(3, 0, 0, 1, b"x"))
    second = wire.encode(Frame(3, 0, 1, 1, bytes(range(200))))
    assert run(micropython, SHRINKING, first + second) == "1 0 1\n"


def test_a_tally_counts_frames_bytes_and_the_running_crc(micropython):
    assert run(micropython, TALLY) == "True 2 6\n"
