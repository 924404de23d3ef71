"""The board's side of test_link.py, run by MicroPython: link_peer.py MODE."""

import sys
import time

from fieldtune.link import Link

SENT = 60  # frames of "source"


def echo(link):
    while not link.closed:
        got = link.receive(50)
        if got:
            link.send(got[0], got[1])
            link.release()


def sink(link):
    while not link.closed:
        if link.receive(50):
            link.release()


def source(link):
    for n in range(SENT):
        link.send(n & 7, bytes([n]) * (17 * n))
    sink(link)


def stuck(link):
    """Takes nothing until it is told to stop."""
    while not link.stop:
        link.poll()
        time.sleep_ms(1)
    print("stopped")
    sink(link)


def talkative(link):
    for n in range(20):
        print("line", n)
        link.send(1, bytes([n]))
    sink(link)


def waits(link):
    """Tells how long it has waited for a frame that was not there, then for one that was."""
    for _ in range(2):
        link.receive(5000)
        link.release()
        waited, link.waited_us = link.waited_us, 0
        time.sleep_ms(200)
        link.send(1, str(waited).encode())
    sink(link)


def fails(link):
    link.receive(1000)
    raise ValueError("on purpose")


def quiet(link):
    while True:
        link.poll()
        time.sleep_ms(1)


def lean(link):
    """Reports how many bytes a frame received and sent back allocates."""
    import gc

    def frame():
        got = None
        while not got:
            got = link.receive()
        link.send(got[0], got[1])
        link.release()

    frame()
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    frame()
    used = gc.mem_alloc() - before
    gc.enable()
    link.send(9, str(used).encode())
    sink(link)


mode = sys.argv[1]
quiet_ms = 300 if mode == "quiet" else 10000
link = Link(sys.stdin.buffer, sys.stdout.buffer, b'{"board": "unix"}', quiet_ms=quiet_ms)
link.on_status = lambda: b"%d %d" % (link.duplicates, link.foreign)
with link:
    globals()[mode](link)
print("left")
