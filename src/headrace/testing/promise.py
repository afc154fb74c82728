"""A promise: one sentence of the contract, as a function that raises when a queue does not keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.testing.capabilities import CAPABILITIES, checked
from headrace.testing.threads import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    Make: TypeAlias = Callable[..., Any]
    Check: TypeAlias = Callable[[Make], None]

__all__ = ["PROMISES", "Promise", "PromiseBroken", "Raises", "drain", "promise", "raises"]

TIME_LIMIT = 60.0
"""Seconds after which the check of one promise is taken to hang."""


class PromiseBroken(AssertionError):
    """A queue does not keep a promise; the cause is what the check ran into.

    Attributes:
        promise: the promise's name.
    """

    def __init__(self, promise: str, cause: BaseException) -> None:
        super().__init__(f"{promise}: {type(cause).__name__}: {cause}")
        self.promise = promise
        self.__cause__ = cause


class Promise:
    """One promise of the contract.

    Attributes:
        name: the promise in words, joined by underscores.
        needs: the capabilities without which it says nothing.
    """

    __slots__ = ("_check", "name", "needs")

    def __init__(self, check: Check, needs: Iterable[str]) -> None:
        """A promise that *check* proves and that presupposes the capabilities *needs*."""
        self.name = check.__name__
        self.needs = checked(needs)
        self._check = check

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Promise {self.name}>"

    def absent(self, capabilities: Iterable[str]) -> str:
        """Why the promise does not concern a queue with these *capabilities*; "" when it does."""
        absent = sorted(self.needs - frozenset(capabilities))
        return "; ".join(f"has not the capability {name!r}: {CAPABILITIES[name]}" for name in absent)

    def run(self, make: Make, time_limit: float = TIME_LIMIT) -> None:
        """Check the promise on queues that *make(maxsize=0)* returns, in a thread of its own.

        Raises:
            PromiseBroken: it is not kept, or its check does not end within *time_limit* seconds.
        """
        try:
            Call(self._check, make).result(time_limit)
        except Exception as error:
            raise PromiseBroken(self.name, error) from error


PROMISES: list[Promise] = []
"""Every promise, in the order of reading. The modules in ``headrace.testing.contract`` fill it when imported."""


def promise(*needs: str) -> Callable[[Check], Check]:
    """Make a function the check of a promise that presupposes the capabilities *needs*."""

    def register(check: Check) -> Check:
        PROMISES.append(Promise(check, needs))
        return check

    return register


class Raises:
    """What ``raises`` returns.

    Attributes:
        error: the exception that was raised.
    """

    error: Any = None

    def __init__(self, expected: type[BaseException]) -> None:
        self._expected = expected

    def __enter__(self) -> Raises:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> bool:
        if error is None:
            raise AssertionError(f"{self._expected.__name__} was not raised")
        self.error = error
        return isinstance(error, self._expected)


def raises(expected: type[BaseException]) -> Raises:
    """A context manager: AssertionError unless its block raises *expected*."""
    return Raises(expected)


def drain(queue: Any) -> list[Any]:
    """What waits in *queue*, taken out one by one."""
    items: list[Any] = []
    while not queue.empty():
        items.append(queue.get_nowait())
    return items
