"""Several steps that nothing divides.

CPython runs signal handlers, and with them Ctrl-C, between two instructions of Python code, never inside a call into
C that calls no Python code. Where an interrupt must not fall between two steps, they are made by one such call:
an iterator that makes the steps, exhausted by ``deque.extend``.
"""

from __future__ import annotations

from collections import deque
from itertools import starmap
from operator import call

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["at_once", "exhaust"]

exhaust: Callable[[Iterable[Any]], None] = deque[None](maxlen=0).extend
"""Take everything out of an iterator, in one call into C."""


def at_once(steps: Iterable[tuple[Callable[..., Any], *tuple[Any, ...]]]) -> None:
    """Make *steps*, each a function of C with its arguments. The first that raises is the last that is made."""
    exhaust(starmap(call, steps))
