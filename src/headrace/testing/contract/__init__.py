"""The contract, promise by promise; a file a subject. Importing this fills ``headrace.testing.promise.PROMISES``."""

from __future__ import annotations

# isort: off - this is the order of reading
from headrace.testing.contract import (
    batches,
    hooks,
    identity,
    internals,
    iteration,
    leasing,
    looking,
    order,
    priority,
    putting_and_getting,
    settling,
    shutting_down,
    waiting,
)

# isort: on

__all__ = [
    "batches",
    "hooks",
    "identity",
    "internals",
    "iteration",
    "leasing",
    "looking",
    "order",
    "priority",
    "putting_and_getting",
    "settling",
    "shutting_down",
    "waiting",
]
