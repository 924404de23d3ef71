"""Where this code runs."""

import gc
import os
import sys

import qnn

try:
    from fieldtune import _build
except ImportError:
    _build = None


def board():
    """What this board is: its name, port, core, firmware, the kernels in use and the memory left, in bytes."""
    gc.collect()
    info = os.uname() if hasattr(os, "uname") else None
    return {
        "board": _build.BOARD if _build else sys.platform,
        "version": _build.VERSION if _build else "",
        "build_id": _build.BUILD_ID if _build else "",
        "machine": info[4] if info else getattr(sys.implementation, "_machine", ""),
        "micropython": ".".join(str(n) for n in sys.implementation.version[:3]),
        "kernels": qnn.KERNELS,
        "ram_free_bytes": gc.mem_free(),
    }
