"""Hubs and posts in Python: the readable specification of ``csrc/loops.c``, and its fallback."""

from __future__ import annotations

import os
from collections import deque
from itertools import repeat

from headrace.backends.memory.undivided import at_once, exhaust

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = ["Hub", "Post"]

ONE = (1).to_bytes(8, "little")  # what an eventfd adds; to a socket, eight bytes


class Hub:
    """Where the posts of one event loop leave word: eight bytes are written to *fd* when the first does.

    It closes *fd* in the end.
    """

    _fd: int
    _callback: Callable[[], object] | None
    _process: int
    _woken: deque[Post]
    # The descriptor, unless somebody has rung since the last collection: a burst of wake-ups rings once.
    _unrung: deque[int]

    def __new__(cls, fd: int, callback: Callable[[], object] | None = None) -> Self:
        """With a descriptor to write to, or -1 and a callback."""
        self = super().__new__(cls)
        self._fd = fd
        self._callback = callback
        self._process = os.getpid()
        self._woken = deque()
        self._unrung = deque([fd])
        return self

    def __del__(self) -> None:
        self._unrung.clear()
        if self._fd >= 0:
            os.close(self._fd)

    def leave_word(self, post: Post) -> None:
        """Have the loop collect *post*. From any thread."""
        if self._process != os.getpid():
            return  # that loop is the parent's
        unrung = iter(self._unrung.popleft, None)
        try:
            if self._callback is None:
                # Undivided, so that no interrupt leaves a post in the list of which the loop hears nothing.
                at_once(((self._woken.append, post), (exhaust, map(os.write, unrung, repeat(ONE)))))
            else:
                self._woken.append(post)
                next(unrung)
                self._callback()
        except IndexError:
            pass  # somebody has rung
        except (BlockingIOError, RuntimeError):
            pass  # it has rung often enough; the loop is closed

    def hush(self) -> None:
        """Here it always rings. In C it does not until the next ``collect``, which the loop's thread promises."""

    def collect(self) -> list[Any]:
        """The posts that were woken since the last time. By the loop's thread."""
        if not self._unrung:
            self._unrung.append(self._fd)
        woken: dict[Post, None] = {}
        while self._woken:
            woken[self._woken.popleft()] = None
        return list(woken)


class Post:
    """One event loop before one line of one queue. For subclasses."""

    _hub: Hub
    _all: bool
    # How many coroutines wait here, for stats().
    stands_for: int

    __slots__ = ("_all", "_hub", "stands_for")

    def __new__(cls, hub: Any, *arguments: Any) -> Self:
        """Of *hub*; the other arguments are a subclass's."""
        self = super().__new__(cls)
        self._hub = hub
        self._all = False
        self.stands_for = 1
        return self

    def __init__(self, hub: Any, *arguments: Any) -> None:
        """Nothing more."""

    def wake(self, all: bool) -> None:
        """Have the loop look, from any thread: as many of those who wait as have something to do, or all."""
        if all:
            self._all = True
        self._hub.leave_word(self)

    def take_all(self) -> bool:
        """Whether it was woken for all since this was last asked."""
        woken, self._all = self._all, False
        return woken
