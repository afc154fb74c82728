"""The standard library's own suite of asyncio's queues, on the running Python, with our types in their place."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Child

pytestmark = pytest.mark.skipif(
    find_spec("test.test_asyncio") is None,
    reason="this Python was packaged without the standard library's tests (Debian does that)",
)


def queues_suite(left_out: list[str]) -> None:
    """Run test.test_asyncio.test_queues with asyncio's queues and their errors replaced; print how many tests ran."""
    import asyncio
    import json
    import sys
    import types
    import unittest
    from collections import Counter

    from headrace import aio

    used: Counter[str] = Counter()

    def replaced(name: str) -> property:
        def get(module: object) -> object:
            used[name] += 1
            return getattr(aio, name)

        return property(get)

    errors = [name for name in ("QueueEmpty", "QueueFull", "QueueShutDown") if hasattr(asyncio, name)]
    names = ["Queue", "LifoQueue", "PriorityQueue", *errors]
    asyncio.__class__ = type("Counting", (types.ModuleType,), {name: replaced(name) for name in names})
    assert asyncio.Queue is aio.Queue

    def wanted(tests):
        for test in tests:
            if isinstance(test, unittest.TestSuite):
                yield from wanted(test)
            elif not {f"{type(test).__name__}.{test._testMethodName}", test._testMethodName} & set(left_out):
                yield test

    loader = unittest.TestLoader()
    tests = unittest.TestSuite(wanted(loader.loadTestsFromName("test.test_asyncio.test_queues")))
    assert not loader.errors, loader.errors
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(tests)
    names = sorted({name.rpartition(".")[2] for name in left_out})
    suite = sys.modules["test.test_asyncio.test_queues"]
    known = {name for cls in vars(suite).values() if isinstance(cls, type) for name in vars(cls)}
    print(
        "\n"
        + json.dumps(
            {
                "ran": result.testsRun,
                "skipped": [reason for _, reason in result.skipped],
                "used": used,
                "unknown": [name for name in names if name not in known],
            }
        )
    )
    sys.exit(not result.wasSuccessful())


# Each looks into asyncio's own objects, where ours have something else.
WHITE_BOX = [
    # repr(queue) and str(queue) must hold "_getters[1]", "_putters[1]" and "_queue=[1]".
    "QueueBasicTests.test_repr",
    "QueueBasicTests.test_str",
    # It appends a future of its own to queue._putters, and waits for get() to set its result.
    "QueueGetTests.test_get_with_putters",
    # Each counts queue._getters or queue._putters after a cancellation. Here: test_aio_cancel.py.
    "QueueGetTests.test_cancelled_getters_not_being_held_in_self_getters",
    "QueuePutTests.test_cancelled_puts_not_being_held_in_self_putters",
    # They compare what queue._format() returns, which repr(queue) is made of.
    "test_format",
]


@pytest.mark.timeout(300)
def test_the_suite_of_asyncio_s_queues_passes(child: Child) -> None:
    report = json.loads(child.run(queues_suite, WHITE_BOX, seconds=100).splitlines()[-1])
    assert report["ran"] >= 36
    assert report["skipped"] == []
    assert report["unknown"] == []
    assert report["used"]["Queue"] >= 25
    assert report["used"]["QueueFull"] >= 2
