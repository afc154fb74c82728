"""What ended a worker: raised again by its ``join``, and reported once when nobody ever joined."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from time import monotonic
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import NoReturn

__all__ = ["Failure", "note", "note_earlier", "note_item", "raise_all", "shown", "wait_for"]

SHOWN_CHARACTERS = 200

# Failures that no join has raised yet.
_unseen: WeakSet[Failure] = WeakSet()


class Failure:
    """An exception that ended a worker, kept until somebody wants it.

    One that nobody has wanted is given to ``threading.excepthook`` when it becomes garbage (which it does
    together with its worker: the exception's traceback refers to that), or at the end of the interpreter.
    """

    __slots__ = ("__weakref__", "_error", "_seen", "_traceback", "_worker")

    def __init__(self, error: BaseException, worker: threading.Thread) -> None:
        self._error = error
        self._worker = worker
        # Raising adds to an exception's traceback: this is how long it was at first.
        self._traceback: TracebackType | None = error.__traceback__
        # Set before the failure is raised or reported, never unset.
        self._seen = False
        _unseen.add(self)

    def raise_again(self) -> NoReturn:
        """Raise the exception, with the traceback that it came with."""
        self.forget()
        raise self._error.with_traceback(self._traceback)

    def forget(self) -> None:
        """Do not report it: it was raised, or it is another process's."""
        self._seen = True
        _unseen.discard(self)

    def report(self) -> None:
        """Give it to ``threading.excepthook``, unless it was raised or reported before."""
        if self._seen:
            return
        self.forget()
        error = self._error.with_traceback(self._traceback)
        threading.excepthook(threading.ExceptHookArgs((type(error), error, self._traceback, self._worker)))

    __del__ = report


def _report_unseen() -> None:
    for failure in list(_unseen):
        try:
            failure.report()
        except Exception as error:  # a hook that fails must not keep the others from being reported
            sys.excepthook(type(error), error, error.__traceback__)


def _leave_to_parent() -> None:
    for failure in list(_unseen):
        failure.forget()


atexit.register(_report_unseen)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def note_item(error: BaseException, item: object, number: int | None = None) -> None:
    """Add a note to *error* that says which item was being handled.

    Args:
        number: the item's position in its source, counted from 1.
    """
    which = "" if number is None else f" item {number}:"
    note(error, f"while handling{which} {shown(item)}")


def raise_all(errors: list[BaseException], message: str) -> NoReturn:
    """Raise the one error that there is, or several as a group with *message*.

    The list is emptied: the errors' tracebacks may refer to who has it, and no cycle may keep their items alive.
    """
    taken = [*errors]
    errors.clear()
    try:
        if len(taken) == 1:
            raise taken[0]
        raise BaseExceptionGroup(message, taken)
    finally:
        del taken


def note_earlier(interrupt: BaseException, errors: list[BaseException]) -> None:
    """Tell on an *interrupt*, which must not be hidden, what had failed before it."""
    for error in errors:
        note(interrupt, f"before this was raised, an item or the source had failed: {shown(error)}")


def wait_for(threads: Iterable[threading.Thread], timeout: float | None) -> None:
    """Wait until all *threads* that were started have ended, for *timeout* seconds at most."""
    deadline = None if timeout is None else monotonic() + timeout
    for thread in threads:
        if thread.is_alive():  # Ctrl-C may have come before it was started
            thread.join(None if deadline is None else max(0.0, deadline - monotonic()))


def note(error: BaseException, text: str) -> None:
    """Add a note to *error*, if its class lets us: the error itself is what matters."""
    try:
        error.add_note(text)
    except Exception:
        pass


def shown(item: object) -> str:
    """An object's repr in a line of some 200 characters, however large it is and however bad its repr."""
    from reprlib import Repr  # seldom needed

    short = Repr()
    short.maxstring = short.maxother = short.maxlong = SHOWN_CHARACTERS
    try:
        if isinstance(item, (bytes, bytearray)):
            item = item[:SHOWN_CHARACTERS]
        text = short.repr(item)
    except Exception:
        text = f"a {type(item).__name__} that has no repr"
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
