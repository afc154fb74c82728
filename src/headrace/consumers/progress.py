"""A progress bar on the terminal, drawn by a thread of its own: the consumers only count."""

from __future__ import annotations

import sys
from operator import length_hint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["bar", "expected_items"]


def expected_items(source: object) -> int | None:
    """How many items *source* will have, if it says so."""
    try:
        length = length_hint(source, -1)
    except Exception:  # a length is a help, and none that fails may keep the work from being done
        return None
    return None if length < 0 else length


def bar(wanted: bool, handled: Callable[[], int], total: int | None) -> AbstractContextManager[object]:
    """A context in which stderr shows how many items are handled, if that is *wanted* and stderr is a terminal.

    Args:
        handled: says how many items are handled by now. Called some ten times a second, in another thread.
        total: how many there will be; None when nobody knows.

    Raises:
        ModuleNotFoundError: there is a terminal, but rich is not installed.
    """
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        from contextlib import nullcontext

        return nullcontext()
    try:
        from headrace.consumers import rich_bar
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "progress=True draws with rich, which is not installed: pip install 'headrace[cli]', or leave progress out",
            name=error.name,
        ) from error
    return rich_bar.CountingBar(handled, total)
