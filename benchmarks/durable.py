"""The durable queue, in one SQLite file: the scenarios, each in a file of its own beside this one.

They need apsw and msgspec. Where these are not installed, the page says so, and nothing here imports them.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.results import Outcome, Table

if TYPE_CHECKING:
    from benchmarks.plan import Plan

__all__ = ["DURABLE"]

NEEDED = ["apsw", "msgspec"]


@dataclass(frozen=True, slots=True)
class Durable:
    """One scenario: the function *function* in the module ``benchmarks.durable_…``."""

    name: str
    module: str
    function: str

    def __call__(self, plan: Plan) -> Outcome:
        missing = [needed for needed in NEEDED if find_spec(needed) is None]
        if missing:
            note = f"Not measured: without {' and '.join(missing)} there is no durable queue (headrace[sqlite])."
            return Outcome(self.name, self.name.replace("-", ": "), "", Table((), []), {}, notes=[note])
        outcome: Outcome = getattr(import_module(f"benchmarks.{self.module}"), self.function)(plan)
        return outcome


DURABLE = [
    Durable("durable-cycle", "durable_cycle", "cycle"),
    Durable("durable-single", "durable_puts", "single"),
    Durable("durable-crowd", "durable_puts", "crowd"),
    Durable("durable-pool", "durable_pool", "pool"),
    Durable("durable-wake", "durable_wake", "wake"),
    Durable("durable-processes", "durable_processes", "processes"),
    Durable("durable-backlog", "durable_backlog", "backlog"),
    Durable("durable-open", "durable_open", "opening"),
]
