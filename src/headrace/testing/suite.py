"""``check_queue``: all promises that concern a queue, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.testing import contract
from headrace.testing.capabilities import QUEUE, checked
from headrace.testing.promise import PROMISES, TIME_LIMIT, Promise, PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.testing.promise import Make

__all__ = ["check_queue", "promises"]


def promises() -> list[Promise]:
    """Every promise of the contract, in the order of reading."""
    assert contract.__all__, "importing it is what fills the list"
    return list(PROMISES)


def check_queue(
    make: Make,
    *,
    capabilities: Iterable[str] = QUEUE,
    time_limit: float = TIME_LIMIT,
    report: Callable[[str], object] = print,
) -> list[str]:
    """Check every promise of the contract on the queues that *make* returns. Takes a few seconds.

    Args:
        make: called as ``make()`` and as ``make(maxsize=n)``; returns a fresh, empty queue each time. With the
            capability "durable" also as ``make(again=queue)``, which is another object of the queue that *queue* is
            one of (it may be closed); with "deliveries" as ``make(max_deliveries=n)``.
        capabilities: what the queues can do (see ``CAPABILITIES``); by default all that ``headrace.Queue`` can.
            Promises that need another one are skipped, and *report* says which and why.
        time_limit: seconds after which a promise whose check hangs is taken to be broken. The thread that hangs is
            left behind; it does not keep the process alive.
        report: is called with a line of text for each promise that was skipped.

    Returns:
        The names of the promises that were checked; the queue keeps them all.

    Raises:
        ExceptionGroup: of ``PromiseBroken``, one for each promise that is not kept.
        ValueError: one of *capabilities* is unknown.
        RuntimeError: Python runs with -O, which strips the assertions that this suite consists of.
    """
    if not __debug__:
        raise RuntimeError("python -O strips assertions, and with them all that would be checked: run without it")
    declared = checked(capabilities)
    kept: list[str] = []
    broken: list[PromiseBroken] = []
    for promise in promises():
        if absent := promise.absent(declared):
            report(f"skipped {promise}: {absent}")
            continue
        try:
            promise.run(make, time_limit)
            kept.append(promise.name)
        except PromiseBroken as error:
            broken.append(error)
    if broken:
        names = ", ".join(error.promise for error in broken)
        raise ExceptionGroup(f"{len(broken)} of {len(broken) + len(kept)} promises are broken: {names}", broken)
    return kept
