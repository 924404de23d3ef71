"""One block of memory for a task's tensors, laid out by the host's planner."""

import gc

from micropython import const

_ALIGNMENT = const(4)


def _allocated(size):
    gc.collect()
    try:
        return bytearray(size)
    except (MemoryError, OverflowError):
        raise MemoryError("the arena needs %d bytes, %d are free" % (size, gc.mem_free()))


class Arena:
    """The tensors of a plan as views of one bytearray.

    plan: {"bytes": n, "tensors": {key: offset}}, laid out for numbers of one byte; `item_bytes` stretches it. Raises
    ValueError for a tensor that the plan lacks or puts outside, MemoryError where the board has not that much left.
    """

    def __init__(self, plan, item_bytes=1):
        self._offsets = plan["tensors"]
        self._view = memoryview(_allocated(plan["bytes"] * item_bytes))
        self._item_bytes = item_bytes

    def take(self, key, size):
        """The bytes of the tensor `key`, of `size` numbers."""
        offset = self._offsets.get(key, -1)
        if not isinstance(offset, int) or offset % _ALIGNMENT:
            raise ValueError("plan: " + key)
        offset, size = offset * self._item_bytes, size * self._item_bytes
        if not 0 <= offset <= len(self._view) - size:
            raise ValueError("plan: " + key)
        return self._view[offset : offset + size]
