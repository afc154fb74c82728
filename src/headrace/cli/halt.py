"""``--halt``: when a run is to end before all items are done."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HALT", "HaltRule", "Halter"]

FEW_ITEMS = 100
"""A percentage of fewer items than this says little, unless they are all that there are."""


class HaltRule(NamedTuple):
    """What ``--halt`` says.

    Attributes:
        now: end the running commands too.
        why: what is counted: ``fail``, ``success`` or ``done``.
        amount: how many, or how many per cent.
    """

    now: bool
    why: str
    amount: int
    percent: bool

    def __str__(self) -> str:
        return f"{'now' if self.now else 'soon'},{self.why}={self.amount}{'%' if self.percent else ''}"


if TYPE_CHECKING:
    _Type = click.ParamType[HaltRule | None]
else:
    _Type = click.ParamType  # which is not generic in every release


def _nobody_cares() -> None:
    pass


class HaltType(_Type):
    """``now,fail=1``, ``soon,done=10%``, and so on, as GNU parallel has them; ``never``."""

    name = "halt"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> HaltRule | None:
        """The rule; None for ``never``."""
        text = str(value)
        if text == "never":
            return None
        found = re.fullmatch(r"(now|soon),(fail|success|done)=([0-9]{1,18})(%?)", text)
        amount = int(found[3]) if found else 0
        if found is None or amount < 1 or (found[4] and amount > 100):
            self.fail(
                f"{text!r} is no rule: write now or soon, then fail, success or done, and how many: "
                "now,fail=1 or soon,fail=10% or now,success=1, or never",
                param,
                ctx,
            )
        return HaltRule(found[1] == "now", found[2], amount, bool(found[4]))


class Halter:
    """Counts what has ended, and says once that the run is to be halted.

    Attributes:
        when_reached: called once, in the thread that counted. To be set before anything is counted.
        is_reached: whether it was called.
    """

    def __init__(self, rule: HaltRule) -> None:
        self.rule = rule
        self.when_reached: Callable[[], None] = _nobody_cares
        # Guards all below. Held for the time of a comparison.
        self._lock = threading.Lock()
        self._counted = 0
        self._read = 0
        self._all_were_read = False
        self.is_reached: bool = False

    def count(self, *, failed: bool) -> None:
        """An item has ended, for good. May be called from any thread."""
        with self._lock:
            if self.rule.why == "done" or (self.rule.why == "fail") == failed:
                self._counted += 1
            reached = self._look()
        if reached:
            self.when_reached()

    def add_read(self, items: int) -> None:
        """So many more items are in the input: what a percentage is of."""
        with self._lock:
            self._read += items

    def all_were_read(self) -> None:
        """There are no more."""
        with self._lock:
            self._all_were_read = True
            reached = self._look()
        if reached:
            self.when_reached()

    def _look(self) -> bool:
        """Whether it is reached now, and was not before."""
        if self.is_reached or not self._counted:
            return False
        if not self.rule.percent:
            self.is_reached = self._counted >= self.rule.amount
        elif self._all_were_read or self._read >= FEW_ITEMS:
            self.is_reached = self._counted * 100 >= self._read * self.rule.amount
        return self.is_reached


HALT = HaltType()
