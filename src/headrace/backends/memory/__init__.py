"""The memory rung: queues for the threads of one process.

Two implementations under one contract: a core in C, and its readable twin in Python. The C core is used
where it could be built, unless gevent or eventlet has put greenlets in the place of threads: the core's waits would
stop all greenlets of the thread, those of the twin switch to another one. ``HEADRACE_IMPL=c`` or ``=python`` picks one
whatever is so, and one that was picked and cannot be loaded is an ``ImportError``.
"""

from __future__ import annotations

import os
import sys

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "SimpleQueue", "implementation"]


def _threads_are_greenlets() -> bool:
    """Whether gevent or eventlet has patched ``threading``. Imports neither."""
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and gevent.is_module_patched("threading"):
        return True
    eventlet = sys.modules.get("eventlet.patcher")
    return eventlet is not None and bool(eventlet.is_monkey_patched("thread"))


_picked = os.environ.get("HEADRACE_IMPL", "")

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from headrace.backends.memory._core import LifoQueue, PriorityQueue, Queue, SimpleQueue

    implementation: str
elif _picked == "python" or (not _picked and _threads_are_greenlets()):
    from headrace.backends.memory.python import LifoQueue, PriorityQueue, Queue, SimpleQueue

    implementation = "python"
elif _picked in ("", "c"):
    try:
        from headrace.backends.memory._core import LifoQueue, PriorityQueue, Queue, SimpleQueue

        implementation = "c"
    except ModuleNotFoundError as error:
        if _picked:
            raise ImportError(
                "HEADRACE_IMPL=c, but this installation has no C core: install it where a C "
                "compiler is present, or unset HEADRACE_IMPL to use the Python implementation"
            ) from error
        from headrace.backends.memory.python import LifoQueue, PriorityQueue, Queue, SimpleQueue

        implementation = "python"
else:
    raise ImportError(f"HEADRACE_IMPL={_picked!r}: write 'c' or 'python', or leave it unset")
