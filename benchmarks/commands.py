"""The figures of the command line as one more scenario: ``benchmarks/cli_bench.py`` takes them.

It has a function ``measure(plan: Plan) -> Outcome``, as every scenario is. Where it is missing, the page says so.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from benchmarks.results import Outcome, Table

if TYPE_CHECKING:
    from benchmarks.plan import Plan

__all__ = ["commands"]


def commands(plan: Plan) -> Outcome:
    """Whatever ``cli_bench`` measures; an outcome without figures where it is not there or needs what is not there."""
    try:
        measure = import_module("benchmarks.cli_bench").measure
    except (ImportError, AttributeError) as error:
        return Outcome("commands", "the command line", "", Table((), []), {}, notes=[f"Not measured: {error}."])
    outcome: Outcome = measure(plan)
    return outcome
