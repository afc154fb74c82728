"""``ProgressListener``: how far the pools are, on the terminal or in a notebook."""

from __future__ import annotations

import sys
import threading

from headrace.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from headrace.consumers.events import Event

    class Screen(Protocol):
        """Something that shows rows."""

        interval: float

        def draw(self, rows: list[Row]) -> None: ...
        def close(self, rows: list[Row]) -> None: ...


__all__ = ["ProgressListener", "Row"]


class Row:
    """A pool, or several of the same name: what was counted, and the queues, which know the rest."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queues: list[Any] = []
        # Written under the listener's lock, read without it: a number that is one too low for a moment harms nobody.
        self.done = self.dead = self.retried = 0

    @property
    def settled(self) -> int:
        """How many items are over and done with, one way or the other."""
        return self.done + self.dead

    def looked_up(self) -> tuple[int, int] | tuple[None, None]:
        """How many items wait (delayed ones included), and how many there are in all as far as anybody knows."""
        try:
            settled, stats = self.settled, [queue.stats() for queue in self.queues]
            waiting = sum(one.waiting + getattr(one, "delayed", 0) for one in stats)
            return waiting, settled + sum(one.unfinished for one in stats)
        except Exception:  # a queue that cannot be reached, or has no stats
            return None, None


class ProgressListener:
    """Shows a line for each pool: items done and put, a rate, and how many failed, were retried and wait.

    On stderr when that is a terminal, below the cell in a notebook; anywhere else it does nothing. One listener can be
    given to several pools; those of the same name share a line. It is drawn by a thread of its own, which a failure
    ends, with a line in the log; the pools go on. Needs ``pip install 'headrace[cli]'``.

    Raises:
        ModuleNotFoundError: there is something to draw on, but rich is not installed.
    """

    kinds = frozenset({"done", "retried", "dead"})

    def __init__(self) -> None:
        # Guards all that follows, for pools and consumers in any threads. Nothing is drawn while it is held.
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._entered = 0
        self._drawing: Drawing | None = None
        if has_screen():
            _import_rich()

    def start(self, pool: Any) -> None:
        """Add a line for *pool*, and begin to draw if it is the first."""
        name = getattr(pool, "name", None) or "queue"
        with self._lock:
            if self._drawing is None and has_screen():
                self._drawing = Drawing(self)  # first: who fails to start is not stopped
            self._entered += 1
            row = self._rows.setdefault(name, Row(name))
            if not any(queue is pool.queue for queue in row.queues):
                row.queues.append(pool.queue)

    def stop(self) -> None:
        """When no pool is left, draw once more and end."""
        with self._lock:
            self._entered -= 1
            if self._entered:
                return
            drawing, self._drawing = self._drawing, None
        if drawing is not None:
            drawing.end()
        with self._lock:
            if not self._entered:
                self._rows = {}

    def __call__(self, event: Event) -> None:
        """Count *event*."""
        with self._lock:
            row = self._rows.get(event.queue)
            if row is None:  # an item that was given up, of a pool that is left
                return
            if event.kind == "done":
                row.done += 1
            elif event.kind == "dead":
                row.dead += 1
            else:
                row.retried += 1

    def rows(self) -> list[Row]:
        """The lines to draw."""
        with self._lock:
            return list(self._rows.values())


class Drawing(threading.Thread):
    """The thread that draws, from its making until ``end``."""

    def __init__(self, listener: ProgressListener) -> None:
        super().__init__(name="headrace-progress", daemon=True)
        self._rows = listener.rows
        self._over = threading.Event()
        self._screen: Screen | None = open_screen()
        self.start()

    def run(self) -> None:
        while self._screen is not None and not self._over.wait(self._screen.interval):
            self._attempt(self._screen.draw)

    def end(self) -> None:
        """Draw the last state, and leave the screen as it was."""
        self._over.set()
        self.join()
        if self._screen is not None:
            self._attempt(self._screen.close)

    def _attempt(self, draw: Callable[[list[Row]], None]) -> None:
        """Draw, and never again if that fails."""
        try:
            draw(self._rows())
        except Exception:
            log().exception("progress cannot be shown any more: the pool goes on without it")
            self._give_up()

    def _give_up(self) -> None:
        """Leave the screen as well as may be: a terminal must get its cursor back."""
        screen, self._screen = self._screen, None
        try:
            if screen is not None:
                screen.close([])
        except Exception:
            pass  # why it cannot be drawn on was logged


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this program (Colab and others are such kernels too)."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def on_terminal() -> bool:
    """Whether stderr is a terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it was closed
        return False


def has_screen() -> bool:
    """Whether there is something to draw on."""
    return in_notebook() or on_terminal()


def open_screen() -> Screen:
    """What to draw on."""
    screens = _import_rich()
    screen: Screen = screens.NotebookScreen() if in_notebook() else screens.TerminalScreen()
    return screen


def _import_rich() -> Any:
    try:
        from headrace.listeners import rich_screens
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "ProgressListener draws with rich, which is not installed: pip install 'headrace[cli]', or leave it out",
            name=error.name,
        ) from error
    return rich_screens
