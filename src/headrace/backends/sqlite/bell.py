"""Bells: words in shared memory on which threads of any process wait without polling.

A bell is a 32-bit word of a file that every process maps (``mmap.mmap(fd, 0)``, so ``MAP_SHARED``). Who waits reads it,
looks whether there is something to do, and sleeps as long as the word is still what it read; who changes something
changes it *first* and rings then. A ring that comes between the look and the sleep is not lost: the sleep does not
begin::

    seen = bell.read(words, 0)
    while not there_is_something_to_do():
        bell.wait(words, 0, seen)
        seen = bell.read(words, 0)

Nothing is kept about who waits, so a killed process leaves nothing wrong. The number itself means nothing but that it
changes with each ring.

``implementation`` names which of three does it: ``"c"``; ``"ctypes"``, the same system calls at some six times the
cost, on Linux where there is no C module; ``"poll"``, where that is not to be had either. ``polls`` tells whether
waiting is a look at the word every 1 to 20 ms (``"poll"``, and ``"c"`` on anything but 64-bit Linux) instead of sleep
until the ring. ``HEADRACE_IMPL=python`` picks the best that needs no C module, ``HEADRACE_BELL`` one by its name; what
was picked and cannot be had is an ``ImportError``. Processes that share a bell may use different ones, but a ring by
``"poll"`` wakes only who polls.

The file must stay as long as it was mapped: to touch a word that was cut off kills the process (SIGBUS).
"""

from __future__ import annotations

import os

__all__ = ["ALL", "implementation", "polls", "read", "ring", "wait"]

ALL = 2**31 - 1
"""Ring for all who wait."""

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    import mmap
    from types import ModuleType


def _load(name: str) -> ModuleType:
    if name == "c":
        from headrace.backends.sqlite import _bell

        return _bell
    if name == "ctypes":
        from headrace.backends.sqlite import bell_ctypes

        return bell_ctypes
    from headrace.backends.sqlite import bell_poll

    return bell_poll


def _candidates() -> list[str]:
    """The implementations to try, best first."""
    named = os.environ.get("HEADRACE_BELL", "")
    if named:
        if named not in ("c", "ctypes", "poll"):
            raise ImportError(f"HEADRACE_BELL={named!r}: write 'c', 'ctypes' or 'poll', or leave it unset")
        return [named]
    picked = os.environ.get("HEADRACE_IMPL", "")
    return {"python": ["ctypes", "poll"], "c": ["c"]}.get(picked, ["c", "ctypes", "poll"])


def _pick(names: list[str]) -> tuple[str, ModuleType]:
    why = None
    for name in names:
        try:
            return name, _load(name)
        except ImportError as error:
            why = error
    raise ImportError(
        f"the {names[0]!r} bell was picked, and this installation cannot have it ({why}): "
        "unset HEADRACE_BELL and HEADRACE_IMPL"
    ) from why


implementation, _module = _pick(_candidates())
polls: bool = _module.polls

if TYPE_CHECKING:

    def read(words: mmap.mmap, index: int) -> int:
        """The word number *index* (the one at the byte ``4 * index``), from 0 to ``2**32 - 1``.

        What was changed before the ring that gave it this number is seen by who reads it.

        Raises:
            IndexError: there is no such word.
            ValueError: *words* is closed.
            BufferError: *words* is read-only. (The same for all three.)
        """
        ...

    def ring(words: mmap.mmap, index: int, count: int = ALL) -> None:
        """Add 1 to the word and wake at most *count* who wait on it, in whatever process. Never blocks.

        May be called in a signal handler. ``"poll"`` makes the word some other one instead of adding; and where waiting
        polls, *count* means nothing, since all look for themselves.

        Raises:
            ValueError: *count* is less than 1.
        """
        ...

    def wait(words: mmap.mmap, index: int, seen: int, timeout: float | None = None) -> bool:
        """Sleep as long as the word is *seen*; return False if it still is after *timeout* seconds, else True.

        True at once if the word is another already. True may also come for no reason: look again. A time-out of 0 or
        less does not sleep. Other threads run meanwhile, and *words* cannot be closed (``BufferError``) until the last
        has stopped waiting; in a child that was forked meanwhile it never can.

        Raises:
            BaseException: whatever a signal handler raises, Ctrl-C's KeyboardInterrupt first of all. It ends the sleep
                at once, or within half a second when the signal came in the instant before it. A handler that returns
                may end the wait or not: one that needs it to end rings.
            IndexError, ValueError, BufferError: as ``read``; and a *timeout* that is not a number.
        """
        ...

else:
    read, ring, wait = _module.read, _module.ring, _module.wait
