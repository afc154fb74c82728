"""Counts, durations and rates as they are written on a command line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from typing import NoReturn

    FloatType = click.ParamType[float]
    IntType = click.ParamType[int]
else:
    FloatType = IntType = click.ParamType  # which is not generic in every release

__all__ = ["COUNT", "DURATION", "RATE", "Duration"]

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_SECONDS = 100 * 365 * 86400.0


class Count(IntType):
    """1 or more. As ``click.IntRange(min=1)``, but ``--help`` does not show its bound."""

    name = "count"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """*value* as a number."""
        try:
            count = int(str(value))
        except ValueError:
            count = 0
        if count < 1:
            self.fail(f"{value!r} is no count: write a whole number, 1 or more", param, ctx)
        return count


class Duration(FloatType):
    """``1.5``, ``200ms``, ``10s``, ``5m``, ``2h``, ``1d``: seconds as a float."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds that *value* stands for."""
        if isinstance(value, float):
            return value
        text = str(value)
        number = text.rstrip("dhms")
        seconds = _number(number) * SECONDS.get(text[len(number) :] or "s", math.nan)
        if not (seconds >= 0 if self._zero else seconds > 0) or seconds > LONGEST_SECONDS:
            self.fail(f"{text!r} is no duration: write seconds (1.5), or 200ms, 10s, 5m, 2h, 1d", param, ctx)
        return seconds


class Rate(FloatType):
    """``10/s``, ``90/m``, ``5/h``, or ``10`` for a second: items a second as a float."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The items a second that *value* stands for."""
        if isinstance(value, float):
            return value
        text = str(value)
        number, _, unit = text.partition("/")
        rate = _number(number) / SECONDS.get(unit or "s", math.nan)
        if not rate > 0 or unit == "ms" or math.isinf(rate) or text.endswith("/"):
            self._refuse(text, param, ctx)
        return rate

    def _refuse(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(f"{text!r} is no rate: write how many in what time, as 10/s, 90/m, 500/h or 1000/d", param, ctx)


def _number(text: str) -> float:
    """*text* as a number; not a number where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


COUNT = Count()
DURATION = Duration()
RATE = Rate()
