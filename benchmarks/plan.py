"""How large and how often: what the options of the command line say to every scenario."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ROUNDS", "Plan", "small_plan"]

T = TypeVar("T")

ROUNDS = 9
SMALL_DIVISOR = 100  # sizes of a run that only shows that all works


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of one run.

    Attributes:
        rounds: how often every contender has its turn.
        small: whether sizes are cut down to where figures mean nothing.
        seconds_at_most: what one turn may take; a contender too slow for it moves fewer items.
    """

    rounds: int = ROUNDS
    small: bool = False
    seconds_at_most: float = 0.7
    shuffler: random.Random = field(default_factory=lambda: random.Random(2024))

    def size(self, count: int, least: int = 1) -> int:
        """*count*, or a small part of it in a small run, though no less than *least*."""
        return max(least, count // SMALL_DIVISOR) if self.small else count

    def shuffled(self, things: Iterable[T]) -> list[T]:
        """*things* in an order of chance, so that nobody always runs after the same neighbour."""
        order = list(things)
        self.shuffler.shuffle(order)
        return order


def small_plan(rounds: int | None) -> Plan:
    return Plan(rounds=rounds or 2, small=True, seconds_at_most=0.05)
