"""The emulated boot ROM's functions, called by the real firmware, against this machine's."""

import random

import numpy as np
import pytest

from fieldtune.link.repl import Repl

random.seed(1)
WORDS = [0, 1, 2, 3, 0x80000000, 0xFFFFFFFF, *(random.getrandbits(32) for _ in range(20))]
FLOATS = np.array(
    [0.0, -0.0, 1.0, -1.0, 1 / 3, 3.4e38, 1.2e-38, 16777217.0, -2.5]
    + [random.uniform(-10, 10) * 10 ** random.randint(-12, 12) for _ in range(11)],
    np.float32,
)

CALLS = """
import array, binascii, uctypes
def lookup(code):
    tables = uctypes.bytearray_at(0x14, 4)
    at = tables[0] | tables[1] << 8
    while True:
        entry = uctypes.bytearray_at(at, 4)
        if bytes(entry[:2]) == code:
            return entry[2] | entry[3] << 8
        if not entry[0]:
            return 0
        at += 4
@micropython.asm_thumb
def call(r0, r1, r2, r3):
    data(2, 0x4798)  # blx r3
"""


@pytest.fixture
def repl(pico):
    with Repl(str(pico.device)) as repl:
        # MicroPython's inline assembler reaches every entry of the ROM's table.
        repl.exec("import micropython\n" + CALLS)
        yield repl


def answers(repl, code: bytes) -> list[int]:
    """What the ROM function makes of each of WORDS, low and high half asked for apart."""
    return eval(
        repl.exec(
            f"f = lookup({code!r})\n"
            "def word(x):\n"
            "    a = array.array('I', [x, 0])\n"
            "    apply(uctypes.addressof(a), 0, 0, f)\n"
            "    return a[1]\n"
            "@micropython.asm_thumb\n"
            "def apply(r0, r1, r2, r3):\n"
            "    push({r0})\n"
            "    ldr(r0, [r0, 0])\n"
            "    data(2, 0x4798)\n"  # blx r3
            "    pop({r1})\n"
            "    str(r0, [r1, 4])\n"
            f"print([word(x) for x in {WORDS}])"
        )
    )


def test_leading_zeros(repl):
    assert answers(repl, b"L3") == [32 - word.bit_length() for word in WORDS]


def test_trailing_zeros(repl):
    expected = [(word & -word).bit_length() - 1 if word else 32 for word in WORDS]
    assert answers(repl, b"T3") == expected


def test_population_count(repl):
    assert answers(repl, b"P3") == [word.bit_count() for word in WORDS]


def test_bit_reversal(repl):
    assert answers(repl, b"R3") == [int(f"{word:032b}"[::-1], 2) for word in WORDS]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 9, 31])
def test_memory_functions_touch_what_they_should(repl, length):
    said = repl.exec(
        "ok = True\n"
        "for to in range(4):\n"
        "    for fro in range(4):\n"
        "        a = bytearray(range(48)); b = bytearray(48)\n"
        "        expected = bytearray(48)\n"
        f"        expected[to:to + {length}] = a[fro:fro + {length}]\n"
        "        call(uctypes.addressof(b) + to, uctypes.addressof(a) + fro,"
        f" {length}, lookup(b'MC'))\n"
        "        ok = ok and b == expected\n"
        f"    expected[to:to + {length}] = bytes([0xa5]) * {length}\n"
        f"    b[:] = expected; b[to:to + {length}] = bytes({length})\n"
        f"    call(uctypes.addressof(b) + to, 0xa5, {length}, lookup(b'MS'))\n"
        "    ok = ok and b == expected\n"
        "print(ok)"
    )
    assert said == "True\n"


@pytest.mark.parametrize("operator", ["+", "-", "*", "/"])
def test_float_arithmetic_is_ieee_single_precision(repl, operator):
    pairs = [(a, b) for a in FLOATS for b in FLOATS if operator != "/" or b != 0]
    repl.exec(
        "import struct\n"
        f"values = struct.unpack('<{len(FLOATS)}f', bytes.fromhex('{FLOATS.tobytes().hex()}'))"
    )
    said = repl.exec(
        "for a in values:\n"
        "    for b in values:\n"
        f"        if {operator != '/'} or b != 0:\n"
        f"            print(struct.pack('<f', a {operator} b).hex())"
    )
    with np.errstate(all="ignore"):
        expected = [eval(f"a {operator} b", {"a": a, "b": b}) for a, b in pairs]
    # As in the ROM, what is too small for a normal number is zero.
    tiny = np.finfo(np.float32).tiny
    flushed = [np.float32(0) * x if abs(x) < tiny else np.float32(x) for x in expected]
    got = np.frombuffer(bytes.fromhex(said.replace("\n", "")), "<f4")
    assert [x.tobytes() for x in got] == [x.tobytes() for x in flushed]
