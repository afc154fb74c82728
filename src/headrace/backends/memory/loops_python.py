"""Hubs and posts in Python: the readable specification of ``csrc/loops.c``, and its fallback."""

from __future__ import annotations

import os
from collections import deque

from headrace.backends.memory.undivided import at_once

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = ["Hub", "Post"]

ONE = (1).to_bytes(8, "little")  # what an eventfd adds; to a socket, eight bytes


class Hub:
    """Where the posts of one event loop leave word: eight bytes are written to *fd* when one does."""

    _fd: int
    _callback: Callable[[], object] | None
    _woken: deque[Post]

    def __new__(cls, fd: int, callback: Callable[[], object] | None = None) -> Self:
        """With a descriptor to write to, or -1 and a callback."""
        self = super().__new__(cls)
        self._fd = fd
        self._callback = callback
        self._woken = deque()
        return self

    def leave_word(self, post: Post) -> None:
        """Have the loop collect *post*. From any thread."""
        if self._callback is not None:
            self._woken.append(post)
            try:
                self._callback()
            except RuntimeError:
                pass  # the loop is closed
            return
        try:
            # Undivided, so that no interrupt leaves a post in the list of which the loop hears nothing.
            at_once(((self._woken.append, post), (os.write, self._fd, ONE)))
        except BlockingIOError:
            pass  # it has rung often enough

    def hush(self) -> None:
        """Here it always rings. In C it does not until the next ``collect``, which the loop's thread promises."""

    def collect(self) -> list[Any]:
        """The posts that were woken since the last time. By the loop's thread."""
        woken: dict[Post, None] = {}
        while self._woken:
            woken[self._woken.popleft()] = None
        return list(woken)


class Post:
    """One event loop before one line of one queue. For subclasses."""

    _hub: Hub
    _all: bool
    # How many coroutines wait here, for stats().
    stands_for = 1

    def __new__(cls, hub: Any, *arguments: Any) -> Self:
        """Of *hub*; the other arguments are a subclass's."""
        self = super().__new__(cls)
        self._hub = hub
        self._all = False
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
