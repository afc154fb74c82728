"""The interpreter goes down while threads wait at queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conftest import scaled

if TYPE_CHECKING:
    from conftest import Child


def exit_while_daemons_wait(kind: str, timeout: float | None) -> None:
    """Daemon threads wait in get, put and join, some for ever and some about to wake as the interpreter ends."""
    import threading

    import headrace

    empty = getattr(headrace, kind)()
    full = getattr(headrace, kind)(1)
    full.put(1)

    def wait(method: object, *arguments: object) -> None:
        while True:
            try:
                method(*arguments)  # type: ignore[operator]
            except (headrace.Empty, headrace.Full, TimeoutError):
                pass

    for _ in range(3):
        for target in ((empty.get, True, timeout), (full.put, 2, True, timeout), (full.join, timeout)):
            threading.Thread(target=wait, args=target, daemon=True).start()
    while (empty.stats().getters_blocked, full.stats().putters_blocked) == (0, 0):
        pass


@pytest.mark.parametrize("timeout", [None, 0.001])
@pytest.mark.parametrize("kind", ["Queue", "PriorityQueue"])
def test_the_program_ends_while_daemon_threads_wait(child: Child, kind: str, timeout: float | None) -> None:
    for _ in range(scaled(5)):
        child.run(exit_while_daemons_wait, kind, timeout, seconds=20)


def use_at_exit() -> None:
    """Queues are used by atexit functions, by module globals' destructors, and woken in both."""
    import atexit
    import threading

    import headrace

    queue = headrace.Queue()
    threading.Thread(target=queue.get, daemon=True).start()
    while not queue.stats().getters_blocked:
        pass

    class Last:
        def __del__(self) -> None:
            for number in range(10):
                queue.put(number)
            assert queue.get() >= 0

    def at_exit() -> None:
        queue.put(1)
        queue.put(2)
        assert queue.get() in (1, 2)

    atexit.register(at_exit)
    globals()["last"] = Last()


def test_queues_work_until_the_very_end_of_the_program(child: Child) -> None:
    for _ in range(scaled(5)):
        child.run(use_at_exit, seconds=20)
