"""Hold a queue to the contract: the backends of Headrace, and yours.

``check_queue(make)`` runs every promise of the contract against the queues that ``make(maxsize=0)`` returns.
It needs the standard library alone; with pytest, parametrize over ``promises()``:

    @pytest.mark.parametrize("promise", promises(), ids=str)
    def test_my_queue(promise):
        if absent := promise.absent(MY_CAPABILITIES):
            pytest.skip(absent)
        promise.run(MyQueue)

Histories of several threads are recorded by ``history`` and judged by ``linearizability``; ``model`` has the plain
queues that both this suite and property-based tests compare with.
"""

from __future__ import annotations

from headrace.testing.capabilities import (
    CAPABILITIES,
    FILE_QUEUE,
    LIFO_QUEUE,
    PRIORITY_QUEUE,
    QUEUE,
    SIMPLE_QUEUE,
)
from headrace.testing.history import History, Operation, Recorder
from headrace.testing.linearizability import explain, is_linearizable
from headrace.testing.model import FifoModel, LifoModel, PriorityModel, QueueModel
from headrace.testing.promise import Promise, PromiseBroken
from headrace.testing.suite import check_queue, promises

__all__ = [
    "CAPABILITIES",
    "FILE_QUEUE",
    "LIFO_QUEUE",
    "PRIORITY_QUEUE",
    "QUEUE",
    "SIMPLE_QUEUE",
    "FifoModel",
    "History",
    "LifoModel",
    "Operation",
    "PriorityModel",
    "Promise",
    "PromiseBroken",
    "QueueModel",
    "Recorder",
    "check_queue",
    "explain",
    "is_linearizable",
    "promises",
]
