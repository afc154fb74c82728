"""The standard library's own suites, on the running Python, with our types in the place of those of ``queue``."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import SimpleNamespace

    from conftest import Child

pytestmark = pytest.mark.skipif(
    find_spec("test.test_queue") is None,
    reason="this Python was packaged without the standard library's tests (Debian does that)",
)


def queue_suite(left_out: list[str]) -> None:
    """Run test.test_queue with each class's `queue` set to headrace; print how many tests ran."""
    import json
    import sys
    import unittest

    import test.test_queue as suite

    import headrace

    originals = [module for module in (suite.py_queue, suite.c_queue) if module]
    tests = unittest.TestSuite()
    for name, cls in list(vars(suite).items()):
        if not isinstance(cls, type) or getattr(cls, "queue", None) not in originals or name in left_out:
            continue
        cls.queue = headrace
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(cls):
            if f"{name}.{test._testMethodName}" not in left_out:
                tests.addTest(test)
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(tests)
    print(json.dumps({"ran": result.testsRun, "skipped": [reason for _, reason in result.skipped]}))
    sys.exit(not result.wasSuccessful())


# The suite runs each class twice, with the two implementations that the standard library has: its own twin classes
# Py... and C... become the same thing here, and one is enough.
TWINS = ["PyQueueTest", "PyLifoQueueTest", "PyPriorityQueueTest", "PyFailingQueueTest"]
# It tests queue._PySimpleQueue, which we have no counterpart of: each of our implementations has one SimpleQueue.
NO_COUNTERPART = ["PySimpleQueueTest"]
# A put from a destructor in the midst of a put must come before it or after it as a whole. Only C can be that atomic:
# the standard library, too, runs this test against C alone.
ATOMIC = ["CSimpleQueueTest.test_reentrancy"]


@pytest.mark.timeout(300)
def test_the_suite_of_queue_passes(child: Child, implementation: SimpleNamespace) -> None:
    left_out = [*TWINS, *NO_COUNTERPART, *(ATOMIC if implementation.name == "python" else [])]
    report = json.loads(child.run(queue_suite, left_out, seconds=200))
    assert report["ran"] >= 25
    assert report["skipped"] == []


def replaced_suite(module: str, classes: list[str], left_out: list[str]) -> None:
    """Run classes of a test module with queue's types replaced; print how many tests ran and what was used how often.

    The replacement is in force before anything that uses `queue` is imported, and the module `queue` itself counts
    who asks it for a type.
    """
    import json
    import queue
    import sys
    import types
    import unittest
    from collections import Counter

    import headrace

    used: Counter[str] = Counter()

    def replaced(name: str) -> property:
        def get(module: object) -> object:
            used[name] += 1
            return getattr(headrace, name)

        return property(get)

    names = ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue", "Empty", "Full", "ShutDown"]
    assert not {"concurrent.futures", "logging.handlers", "multiprocessing"} & set(sys.modules)
    queue.__class__ = type("Counting", (types.ModuleType,), {name: replaced(name) for name in names})
    assert queue.Queue is headrace.Queue

    def wanted(tests):
        for test in tests:
            if isinstance(test, unittest.TestSuite):
                yield from wanted(test)
            elif (not classes or type(test).__name__ in classes) and test._testMethodName not in left_out:
                yield test

    loader = unittest.TestLoader()
    tests = unittest.TestSuite(wanted(loader.loadTestsFromName(module)))
    assert not loader.errors, loader.errors
    used.clear()
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(tests)
    print("\n" + json.dumps({"ran": result.testsRun, "used": used}))
    sys.exit(not result.wasSuccessful())


LOGGING = "test.test_logging"
FUTURES = "test.test_concurrent_futures"
needs_futures = pytest.mark.skipif(
    find_spec(FUTURES) is None, reason=f"this Python was packaged without {FUTURES}, although with other tests"
)
# They sleep for seconds, and what they wait for is not the queue.
SLEEPERS = ["test_map_timeout", "test_hang_global_shutdown_lock"]


def run_replaced(
    child: Child, module: str, classes: list[str], left_out: list[str], seconds: float = 100
) -> dict[str, Any]:
    printed = child.run(replaced_suite, module, classes, left_out, seconds=seconds)
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return report


def test_logging_s_queue_handlers_pass_with_our_queues(child: Child) -> None:
    report = run_replaced(child, LOGGING, ["QueueHandlerTest", "QueueListenerTest"], [])
    assert report["ran"] >= 8
    assert report["used"]["Queue"] >= 8


@needs_futures
def test_thread_pools_pass_with_our_queues(child: Child) -> None:
    report = run_replaced(child, FUTURES, ["ThreadPoolExecutorTest", "ThreadPoolShutdownTest"], SLEEPERS)
    assert report["ran"] >= 20
    assert report["used"]["SimpleQueue"] >= 15


@pytest.mark.stress
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("module", [LOGGING, pytest.param(FUTURES, marks=needs_futures)])
def test_the_whole_suites_pass_with_our_queues(child: Child, module: str) -> None:
    report = run_replaced(child, module, [], [], seconds=900)
    assert report["ran"] >= 100
    assert sum(report["used"].values()) >= 30
