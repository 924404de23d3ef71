"""What the bench runs on the board: sent to its prompt as text, never imported by the host.

Times are the board's microseconds; the clock behind them counts core cycles.
"""

# ruff: noqa: I001
import gc
import sys
import time
from array import array

import micropython

QUIET_MS = 1000


def bare(count, size):
    """Reads `count` blocks of `size` bytes from stdin. Prints when each was there."""
    block = bytearray(size)
    times = array("I", bytes(4 * count))
    readinto, ticks_us = sys.stdin.buffer.readinto, time.ticks_us
    micropython.kbd_intr(-1)
    try:
        print("ready")
        for i in range(count):
            readinto(block)
            times[i] = ticks_us()
    finally:
        micropython.kbd_intr(3)
    print(list(times))


def framed(count):
    """Receives `count` frames over the link, then prints when each was there."""
    from fieldtune.link import Link

    times = array("I", bytes(4 * count))
    ticks_us = time.ticks_us
    with Link(sys.stdin.buffer, sys.stdout.buffer) as link:
        for i in range(count):
            while not link.receive(QUIET_MS):
                pass
            link.release()
            times[i] = ticks_us()
        while not link.closed:
            link.receive(QUIET_MS)
    print(list(times))


def steps(name, plan, samples, batch, rate, seed):
    """Runs a task over the samples, after a first step that does not count.

    Prints [steps, microseconds, cycles in kernels].
    """
    import fieldtune

    model = fieldtune.load("model.safetensors")
    trainer = model.trainer(name, plan, rate=rate, seed=seed)
    size = batch * model.graph.input_width
    view = memoryview(samples)
    trainer.feed(view[:size])
    trainer.reset()
    gc.collect()
    before = time.ticks_us()
    for at in range(0, len(samples), size):
        trainer.feed(view[at : at + size])
    elapsed = time.ticks_diff(time.ticks_us(), before)
    print([trainer.sums["steps"], elapsed, trainer.sums["cycles"]])
