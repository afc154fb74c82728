"""Verdicts that are not ratios: so many a second at least, so many milliseconds at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Spread, Verdict, times, times_range
from benchmarks.throughput import si

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["at_least", "at_most", "ms", "of_ratio"]


def at_least(claim: str, rates: Iterable[float], least: float) -> Verdict:
    """Judged by the median of *rates*, which are items a second."""
    rate = Spread.of(rates)
    return Verdict(
        claim=claim,
        target=f"at least {least:,.0f} items/s",
        measured=f"{si(rate.median)} ({si(rate.lowest)} to {si(rate.highest)})",
        met=rate.median >= least,
    )


def at_most(claim: str, seconds: Iterable[float], most: float) -> Verdict:
    """Judged by the median of *seconds*, told in milliseconds."""
    spread = Spread.of(seconds)
    return Verdict(
        claim=claim,
        target=f"at most {1e3 * most:g} ms",
        measured=f"{ms(spread.median)} ({ms(spread.lowest)} to {ms(spread.highest)})",
        met=spread.median <= most,
    )


def of_ratio(claim: str, spread: Spread, *, least: float | None = None, most: float | None = None) -> Verdict:
    """A ratio that must not be under *least*, or not over *most*."""
    return Verdict(
        claim=claim,
        target=f"at least {least:g} times" if least is not None else f"at most {most:g} times",
        measured=f"{times(spread.median)} ({times_range(spread)})",
        met=(least is None or spread.median >= least) and (most is None or spread.median <= most),
    )


def ms(seconds: float) -> str:
    """Seconds as milliseconds, with three digits that mean something."""
    return f"{1e3 * seconds:,.0f} ms" if seconds >= 0.1 else f"{1e3 * seconds:.3g} ms"
