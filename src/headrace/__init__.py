"""The queue between producers and consumers, for threads today and without a rewrite for what comes after."""

from __future__ import annotations

from headrace.backends.memory import (
    LifoQueue,
    PriorityQueue,
    Queue,
    SimpleQueue,
    implementation,
)
from headrace.contract import Stats
from headrace.errors import Empty, Full, HeadraceError, InvalidURL, NotSupported, ShutDown
from headrace.opening import open  # noqa: A004 - the name is the design's

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from headrace.consumers import Consumer, Producer, Summary, consume

__version__ = "0.1.0"

__all__ = [
    "Consumer",
    "Empty",
    "Full",
    "HeadraceError",
    "InvalidURL",
    "LifoQueue",
    "NotSupported",
    "PriorityQueue",
    "Producer",
    "Queue",
    "ShutDown",
    "SimpleQueue",
    "Stats",
    "Summary",
    "__version__",
    "consume",
    "implementation",
    "open",
]

# What is not the queue itself is imported when it is first asked for: `import headrace` in place of
# `import queue` should cost what that costs.
_LAZY = frozenset({"Consumer", "Producer", "Summary", "consume"})


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from headrace import consumers

        value: object = getattr(consumers, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | _LAZY)
