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
from headrace.errors import (
    DecodeError,
    DuplicateKey,
    Empty,
    EncodeError,
    Full,
    HeadraceError,
    InvalidURL,
    LeaseLost,
    NotSupported,
    ShutDown,
    StorageError,
)

# Like `map`, it is not in __all__: `from headrace import *` must not replace Python's own.
from headrace.opening import open as open  # noqa: A004 - the name is the design's

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from headrace import aio as aio
    from headrace.aio.queue import AsyncQueue
    from headrace.backends.memory.dead import DeadLetter, DeadLetters
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.consumers.aconsume import aconsume
    from headrace.consumers.consume import consume
    from headrace.consumers.consumer import Consumer
    from headrace.consumers.events import Event
    from headrace.consumers.map import imap_unordered
    from headrace.consumers.map import map as map  # noqa: A004 - what it is in Python
    from headrace.consumers.pipeline import Pipeline
    from headrace.consumers.pipeline_summary import PipelineSummary
    from headrace.consumers.producer import Producer
    from headrace.consumers.retry import Dead, Ignore, Retry, Stop
    from headrace.consumers.summary import Summary
    from headrace.lease import Lease
    from headrace.pool import ConsumerPool, PoolSummary
    from headrace.selecting import Getting, NothingReady, Putting, Selected, select

__version__ = "0.1.0"

__all__ = [
    "AsyncQueue",
    "Consumer",
    "ConsumerPool",
    "Dead",
    "DeadLetter",
    "DeadLetters",
    "DecodeError",
    "DuplicateKey",
    "Empty",
    "EncodeError",
    "Event",
    "FileQueue",
    "Full",
    "Getting",
    "HeadraceError",
    "Ignore",
    "InvalidURL",
    "Lease",
    "LeaseLost",
    "LifoQueue",
    "NotSupported",
    "NothingReady",
    "Pipeline",
    "PipelineSummary",
    "PoolSummary",
    "PriorityQueue",
    "Producer",
    "Putting",
    "Queue",
    "Retry",
    "Selected",
    "ShutDown",
    "SimpleQueue",
    "Stats",
    "Stop",
    "StorageError",
    "Summary",
    "__version__",
    "aconsume",
    "consume",
    "imap_unordered",
    "implementation",
    "select",
]

# What is not the queue itself is imported when it is first asked for: `import headrace` in place of
# `import queue` should cost what that costs.
_LAZY = {
    "AsyncQueue": "aio.queue",
    "Consumer": "consumers.consumer",
    "ConsumerPool": "pool.pool",
    "Dead": "consumers.retry",
    "DeadLetter": "backends.memory.dead",
    "DeadLetters": "backends.memory.dead",
    "Event": "consumers.events",
    "FileQueue": "backends.sqlite.queue",
    "Getting": "selecting",
    "Ignore": "consumers.retry",
    "Lease": "lease",
    "NothingReady": "selecting",
    "Pipeline": "consumers.pipeline",
    "PipelineSummary": "consumers.pipeline_summary",
    "PoolSummary": "pool.summary",
    "Producer": "consumers.producer",
    "Putting": "selecting",
    "Retry": "consumers.retry",
    "Selected": "selecting",
    "Stop": "consumers.retry",
    "Summary": "consumers.summary",
    "aconsume": "consumers.aconsume",
    "consume": "consumers.consume",
    "imap_unordered": "consumers.map",
    "map": "consumers.map",
    "select": "selecting",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from importlib import import_module

        value: object = getattr(import_module(f"headrace.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    if name == "aio":
        import headrace.aio

        return headrace.aio
    raise AttributeError(f"module 'headrace' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | _LAZY.keys())
