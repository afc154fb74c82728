"""The memory rung: queues for the threads of one process.

Two implementations under one contract: a core in C, and its readable twin in Python. The C core is used
where it could be built; ``HEADRACE_IMPL=c`` or ``=python`` picks one, and one that was picked and cannot
be loaded is an ``ImportError``.
"""

from __future__ import annotations

import os

__all__ = ["LifoQueue", "PriorityQueue", "Queue", "SimpleQueue", "implementation"]

_picked = os.environ.get("HEADRACE_IMPL", "")

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from headrace.backends.memory._core import LifoQueue, PriorityQueue, Queue, SimpleQueue

    implementation: str
elif _picked == "python":
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
