"""gevent and eventlet under one face, for scenarios in child processes: they patch before they import headrace."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Green", "patch"]


@dataclass(frozen=True, slots=True)
class Green:
    """What both libraries have.

    Attributes:
        spawn: begins a greenlet of a function with its arguments.
        wait: for the end of such a greenlet; raises what it raised, returns what it returned.
        kill: has such a greenlet end by an exception where it waits.
        let_run: lets all other greenlets run that can.
        timeout: a context manager: an exception in the block after so many seconds, which leaves it silently.
    """

    spawn: Callable[..., Any]
    wait: Callable[[Any], Any]
    kill: Callable[[Any], object]
    let_run: Callable[[], object]
    timeout: Callable[[float], Any]

    def counts_while(self, wait: Callable[[], object], provide: Callable[[], object]) -> None:
        """Have a greenlet *wait*, another count meanwhile, and only then *provide* what is waited for."""
        waiter = self.spawn(wait)
        counted = 0
        for _ in range(100):
            self.let_run()
            counted += 1
        assert not waiter.dead, "it did not wait"
        provide()
        self.wait(waiter)
        assert counted == 100


def patch(library: str) -> Green:
    """Patch all that *library* patches."""
    return {"gevent": _gevent, "eventlet": _eventlet}[library]()


def _gevent() -> Green:
    import_module("gevent.monkey").patch_all()
    gevent = import_module("gevent")
    return Green(
        spawn=gevent.spawn,
        wait=lambda greenlet: greenlet.get(),
        kill=lambda greenlet: greenlet.kill(block=False),
        let_run=lambda: gevent.sleep(0),
        timeout=lambda seconds: gevent.Timeout(seconds, False),
    )


def _eventlet() -> Green:
    eventlet = import_module("eventlet")
    eventlet.monkey_patch()
    return Green(
        spawn=eventlet.spawn,
        wait=lambda greenlet: greenlet.wait(),
        kill=lambda greenlet: eventlet.hubs.get_hub().schedule_call_global(0, greenlet.throw),
        let_run=lambda: eventlet.sleep(0),
        timeout=lambda seconds: eventlet.Timeout(seconds, False),
    )
