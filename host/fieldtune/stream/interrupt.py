"""Ctrl-C while a board works: noticed between two steps, so that nothing is cut in half."""

import contextlib
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Holds Ctrl-C back: for what must not be cut in half while an item is waited for."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interrupt:
    """A context manager. The first Ctrl-C sets `asked`, the second one is a KeyboardInterrupt."""

    def __init__(self):
        self.asked = False
        self._waiting = False

    def __enter__(self) -> "Interrupt":
        # Python allows only the main thread to do this; in others Ctrl-C is nobody's business.
        self._handles = threading.current_thread() is threading.main_thread()
        if self._handles:
            self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_exc) -> None:
        if self._handles:
            signal.signal(signal.SIGINT, self._before)

    def until_asked(self, items: Iterable[T]) -> Iterator[T]:
        """The items, up to the first Ctrl-C, which also ends the wait for the next one."""
        iterator = iter(items)
        while not self.asked:
            try:
                self._waiting = True
                item = next(iterator)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._waiting = False
            yield item

    def _on_signal(self, _number, _frame) -> None:
        again, self.asked = self.asked, True
        if again or self._waiting:
            raise KeyboardInterrupt
