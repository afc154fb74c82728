"""``queue.lease()``: an item that is settled, given back, or buried, once.

It knows its queue by the methods that ``contract.LeasingContract`` says, whichever backend that is of.
"""

from __future__ import annotations

from headrace.backends.memory.envelope import enclosed
from headrace.errors import LeaseLost
from headrace.generic import Subscriptable, T

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

__all__ = ["Lease"]


class Lease(Subscriptable[T]):
    """One delivery of an item. Made by ``queue.lease()``.

    As a context manager it settles itself: a block that ends is ``done()``, one that raises is ``retry()`` (and what it
    raised goes on), unless the lease was settled in the block. A lease that nobody refers to any more is given
    back to the queue. Of several calls that would settle it, in whatever threads, the first does; the
    others raise ``LeaseLost``.

    Attributes:
        item: what was put.
        attempt: which delivery of the item this is, counted from 1.
    """

    __slots__ = ("_envelope", "_hand", "_queue", "attempt", "item")

    def __init__(self, queue: Any, block: bool = True, timeout: float | None = None) -> None:
        self._queue = queue
        # What was taken, until it is settled: of several threads that take it out of here one succeeds. The queue puts
        # it in, so that an interrupt at any point leaves it to __del__, or in the queue.
        self._hand: list[Any] = []
        queue._take(None, block, timeout, self._hand)
        self._open()

    def _open(self) -> None:
        """See what was taken into the hand."""
        envelope = self._envelope = enclosed(self._hand[0])
        self.item: T = envelope.item
        self.attempt: int = envelope.attempt

    @property
    def id(self) -> int:
        """The number of the item in its queue. It stays the same however often the item is delivered."""
        number: int = self._queue._number(self._envelope)
        return number

    def done(self) -> None:
        """The item is done. Raises LeaseLost when the lease is not held any more. Never blocks."""
        self._queue._settle(self._release())

    def retry(self, delay: float = 0.0) -> None:
        """Give the item back to the queue, to be delivered again after *delay* seconds or a little later.

        It goes in whatever the queue's bound, and although the queue may be shut down. Until it is ready it counts as
        unfinished, not as waiting. An item that the queue refuses (a hook or a comparison raises) is in ``queue.dead``
        after that. Never blocks.

        Raises:
            LeaseLost: the lease is not held any more.
            ValueError: *delay* is negative.
        """
        if not isinstance(delay, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'delay' must be a number of seconds, not {type(delay).__name__}: {delay!r}")
        if not delay >= 0:
            raise ValueError(f"'delay' must be a number of seconds, 0 or more, not {delay!r}")
        self._release()
        self._queue._retry(self._envelope, delay)

    def fail(self, error: BaseException | str) -> None:
        """Bury the item: it goes to ``queue.dead`` with *error*, and counts as done. Never blocks.

        Raises LeaseLost when the lease is not held any more.
        """
        if isinstance(error, str):
            error = RuntimeError(error)
        if not isinstance(error, BaseException):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'error' must be an exception or a text, not {type(error).__name__}: {error!r}")
        self._release()
        self._queue._bury(self._envelope, error)

    def extend(self) -> None:
        """Check that the lease is still held, and prolong it where it can run out.

        For work that takes long, before something that must not be done twice.

        Raises:
            LeaseLost: the lease is not held any more: it was settled, or it ran out and somebody else has the item.
        """
        if not self._hand:
            raise self._lost()
        try:
            self._queue._extend(self._envelope)
        except LeaseLost:
            self._hand.clear()
            raise

    def _release(self) -> Any:
        """Take out what was taken from the queue: it is to be settled by the caller, and by nobody else."""
        try:
            return self._hand.pop()
        except IndexError:
            raise self._lost() from None

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"attempt {self.attempt} at this item is over: it was settled before, or its time had run out")

    @property
    def is_held(self) -> bool:
        """Whether it is still to be settled, as far as is known here: ``extend`` asks the queue."""
        return bool(self._hand)

    def __enter__(self) -> Lease[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self.is_held:
            return
        try:
            if error is None:
                self.done()
            else:
                self._release()
                self._queue._retry(self._envelope, 0.0, error)
        except LeaseLost:
            if error is None:
                raise

    def __del__(self) -> None:
        try:
            raw = self._hand.pop()
        except (AttributeError, IndexError):  # not even begun, or settled
            return
        try:
            # Not enclosed anew if that was done: the item may have been given its number.
            self._queue._retry(getattr(self, "_envelope", None) or enclosed(raw), 0.0)
        except LeaseLost:  # somebody else has it already
            pass

    def __repr__(self) -> str:
        from headrace.consumers.failure import shown

        state = "" if self.is_held else ", settled"
        return f"<Lease of {shown(self.item)}, attempt {self.attempt}{state}>"
