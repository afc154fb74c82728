"""Queues in several interpreters of one process, each with a GIL of its own."""

import importlib
import subprocess
import sys
import textwrap

import pytest

IN_EACH = """
import threading
from headrace.backends.memory._core import PriorityQueue, Queue

queue = Queue(2)
seen = []

def consume():
    for item in queue:
        seen.append(item)
        queue.task_done()

thread = threading.Thread(target=consume)
thread.start()
for number in range(1000):
    queue.put(number)
queue.join()
queue.shutdown()
thread.join()
assert seen == list(range(1000))

urgent = PriorityQueue()
urgent.put("later", priority=2)
urgent.put("first", priority=1)
assert urgent.queue and urgent.get() == "first"
"""

PROGRAM = """
import importlib, sys, threading
interpreters = importlib.import_module(sys.argv[1])
import headrace

def run():
    number = interpreters.create()
    error = interpreters.run_string(number, CODE)
    if error:
        failures.append(error)
    interpreters.destroy(number)

CODE = {code!r}
failures = []
threads = [threading.Thread(target=run) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for failure in failures:
    print(failure)
print("ended", headrace.Queue().qsize())
"""


def interpreters_module() -> str:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return name
    pytest.skip("this Python has no module to make interpreters with")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="interpreters have a GIL of their own since Python 3.12")
def test_queues_work_in_interpreters_of_their_own() -> None:
    program = textwrap.dedent(PROGRAM).format(code=IN_EACH)
    ran = subprocess.run(
        [sys.executable, "-c", program, interpreters_module()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "ended 0\n", "")
