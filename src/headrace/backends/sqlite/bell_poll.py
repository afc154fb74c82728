"""The bell for systems that have neither the C module nor futexes: waiting is looking again and again.

A wait looks at the word after 1 ms, then after twice as long each time, up to every 20 ms. So a ring is noticed up to
20 ms late, and who waits costs some 0.1 % of a core.
"""

from __future__ import annotations

import math
import os
from operator import index as whole
from struct import Struct
from time import monotonic, sleep

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    import mmap

__all__ = ["deadline_in", "offset_of", "polls", "read", "require_count", "ring", "wait"]

polls = True

SHORTEST_NAP, LONGEST_NAP = 0.001, 0.02

WORD = Struct("I")  # native: read and written at once, where the other forms go byte by byte
MASK = 2**32 - 1


def read(words: mmap.mmap, index: int) -> int:
    """See ``bell.read``."""
    with memoryview(words) as view:
        return _word(view, offset_of(view, index))


def ring(words: mmap.mmap, index: int, count: int = 2**31 - 1) -> None:
    """See ``bell.ring``.

    Python cannot add to memory that other processes add to at the same moment, and a sum that comes late would bring
    back a number that a waiter has already seen: that waiter would sleep through two rings. So the word is made a
    random one. It is the one that somebody sees at that moment once in four billion rings.
    """
    require_count(count)
    with memoryview(words) as view:
        offset = offset_of(view, index)
        before = _word(view, offset)
        while (after := int.from_bytes(os.urandom(4), "little")) == before:
            pass
        WORD.pack_into(view, offset, after)


def wait(words: mmap.mmap, index: int, seen: int, timeout: float | None = None) -> bool:
    """See ``bell.wait``."""
    deadline = deadline_in(timeout)
    seen = whole(seen) & MASK
    nap = SHORTEST_NAP
    with memoryview(words) as view:
        offset = offset_of(view, index)
        while _word(view, offset) == seen:
            left = deadline - monotonic()
            if left <= 0:
                return False
            sleep(min(nap, left))
            nap = min(2 * nap, LONGEST_NAP)
    return True


def offset_of(view: memoryview, index: int) -> int:
    """Where word *index* begins; IndexError if there is none, BufferError where it could not be rung."""
    if view.readonly:
        raise BufferError("the words are read-only: map them with access=mmap.ACCESS_WRITE")
    count = view.nbytes // WORD.size
    if not 0 <= whole(index) < count:
        raise IndexError(f"there is no word {index}: the mapping has {count}, counted from 0")
    return index * WORD.size


def deadline_in(timeout: float | None) -> float:
    """The moment *timeout* seconds from now, on the monotonic clock; infinity for None."""
    if timeout is None:
        return math.inf
    if math.isnan(timeout):
        raise ValueError("timeout must be a number of seconds, not NaN")
    return monotonic() + timeout


def require_count(count: int) -> None:
    """Refuse to ring for less than one."""
    if whole(count) < 1:
        raise ValueError(f"count must be 1 or more, not {count}")


def _word(view: memoryview, offset: int) -> int:
    word: int = WORD.unpack_from(view, offset)[0]
    return word
