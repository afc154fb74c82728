"""What is to become of an item that failed: ``Retry``, ``Dead``, ``Stop`` or ``Ignore``."""

from __future__ import annotations

from random import random

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Verdict: TypeAlias = "Retry | Dead | Stop | Ignore | type[Retry] | type[Dead] | type[Stop] | type[Ignore]"

__all__ = ["Dead", "Ignore", "Retry", "Stop"]


class Retry:
    """Try again, up to so many times, after delays that grow: exponential backoff with jitter.

    The delay before the second attempt is *delay* seconds, before each later one *factor* times as long, at most
    *max_delay*. With *jitter* each is cut by a random part of up to a half of it, so that items that failed together
    do not come back together ("equal jitter": Brooker, "Exponential Backoff And Jitter", 2015).

    Args:
        attempts: how often the item is tried in all, the first time included.
        delay: seconds before the second attempt.
        factor: how many times longer each further delay is, at least 1.
        max_delay: seconds that no delay is longer than.
        jitter: whether delays vary.
        on: the exceptions that are worth another try; others fail for good at once.

    Raises:
        TypeError, ValueError: an argument is not what it should be.
    """

    __slots__ = ("attempts", "delay", "factor", "jitter", "max_delay", "on")

    def __init__(
        self,
        attempts: int = 5,
        delay: float = 1.0,
        factor: float = 2.0,
        max_delay: float = 300.0,
        jitter: bool = True,
        on: tuple[type[BaseException], ...] | type[BaseException] = (Exception,),
    ) -> None:
        from headrace.consumers.arguments import check_count

        check_count("attempts", attempts, 1, "how often an item is tried in all")
        check_seconds("delay", delay)
        check_seconds("max_delay", max_delay)
        if not factor >= 1:
            raise ValueError(f"factor must be at least 1 (how many times longer each delay is), not {factor!r}")
        self.attempts = attempts
        self.delay = delay
        self.factor = factor
        self.max_delay = max_delay
        self.jitter = jitter
        if not isinstance(jitter, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"jitter must be True or False, not {jitter!r}")
        self.on = check_exceptions(on)

    def covers(self, error: BaseException, attempt: int) -> bool:
        """Whether an item whose attempt number *attempt* raised *error* is tried again."""
        return attempt < self.attempts and isinstance(error, self.on)

    def delay_before(self, attempt: int) -> float:
        """Seconds to wait before attempt number *attempt*, which is 2 or more."""
        try:
            delay = min(self.max_delay, self.delay * self.factor ** (attempt - 2))
        except OverflowError:
            delay = self.max_delay
        return delay * (1.0 - random() / 2) if self.jitter else delay

    def __repr__(self) -> str:
        return (
            f"Retry(attempts={self.attempts}, delay={self.delay}, factor={self.factor}, "
            f"max_delay={self.max_delay}, jitter={self.jitter}, on={self.on})"
        )


class Dead:
    """The item has failed for good: it goes to ``queue.dead``, and counts as done."""


class Stop:
    """The item has failed for good, and so has the work: all consumers stop, and the failure is raised."""


class Ignore:
    """The item counts as done, as if it had not failed."""


def check_seconds(name: str, value: object) -> None:
    """Raise unless *value* is a number of seconds, 0 or more."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}: {value!r}")
    if not value >= 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more, not {value!r}")


def check_exceptions(on: tuple[type[BaseException], ...] | type[BaseException]) -> tuple[type[BaseException], ...]:
    """*on* as a tuple of exception classes; TypeError when it is something else."""
    classes = on if isinstance(on, tuple) else (on,)
    if not classes:
        raise ValueError("on is empty: nothing would ever be tried again; leave it out for every Exception")
    for one in classes:
        if not is_exception(one):
            raise TypeError(f"on must be an exception class, or a tuple of them, not {one!r}")
    return classes


def is_exception(one: object) -> bool:
    """Whether it is a class that can be caught."""
    return isinstance(one, type) and issubclass(one, BaseException)
