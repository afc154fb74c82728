"""The contract, promise by promise; a file a subject. Importing this fills ``headrace.testing.promise.PROMISES``."""

from __future__ import annotations

# isort: off - this is the order of reading
from headrace.testing.contract import (
    batches,
    failing,
    hooks,
    identity,
    internals,
    iteration,
    keeping,
    keys,
    leasing,
    looking,
    order,
    priority,
    putting_and_getting,
    scheduling,
    settling,
    shutting_down,
    waiting,
)

# isort: on

__all__ = [
    "batches",
    "failing",
    "hooks",
    "identity",
    "internals",
    "iteration",
    "keeping",
    "keys",
    "leasing",
    "looking",
    "order",
    "priority",
    "putting_and_getting",
    "scheduling",
    "settling",
    "shutting_down",
    "waiting",
]
