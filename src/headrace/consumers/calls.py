"""The calls of a ``map`` that are open: waiting for a thread, running, or ended and not yet collected."""

from __future__ import annotations

import threading
from collections import deque

from headrace.backends.memory import Queue
from headrace.consumers.arguments import SHUT_DOWN, refuse_coroutine
from headrace.consumers.failure import note_item
from headrace.errors import Empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    # [state, item, number]: a list, for there is one for each item. Once the state is no longer WAITING, the result or
    # the error stands in the place of the item. Written by the thread that runs the call, the state last.
    Call: TypeAlias = list[Any]

__all__ = ["WAITING", "Calls"]

STATE, ITEM, NUMBER = 0, 1, 2
RESULT = ITEM
WAITING, DONE, FAILED = 0, 1, 2
UNHEARD: tuple[type[Exception], ...] = (Empty, *SHUT_DOWN)


class Calls:
    """The calls of one map. Threads run them; all methods but ``stop`` are for whoever has the map's turn.

    Args:
        window: how many there may be, at most.
        ordered: whether their turn is that of the items in the source, or that in which they end.
    """

    __slots__ = ("_ended", "_function", "_line", "_ordered", "_waiting", "_window", "collected")

    def __init__(self, function: Callable[[Any], Any], window: int, ordered: bool) -> None:
        self._function = function
        self._window = window
        self._ordered = ordered
        # Neither has a bound: the window is one. In the second are the calls that have ended, failed ones too.
        self._waiting: Queue[Call] = Queue()
        self._ended: Queue[Call] = Queue()
        # In the order of their turns: all that are open if ordered, else those that were heard to have ended.
        self._line: deque[Call] = deque()
        # How many were taken out of the line.
        self.collected = 0

    def start_thread(self, name: str) -> threading.Thread:
        """Start a thread that runs calls until no more are to be begun."""
        # They end before the iteration does, unless it is dropped, or stopped by Ctrl-C while a call takes longer than
        # the grace: as daemons they cannot keep the program from ending.
        arguments = (self._function, self._waiting, self._ended)
        thread = threading.Thread(target=_run_calls, args=arguments, name=name, daemon=True)
        thread.start()
        return thread

    def add(self, call: Call) -> None:
        """Hand a call to the threads. Raises ShutDown if no more are begun."""
        self._waiting.put(call)
        if self._ordered:
            self._line.append(call)

    def hear(self, timeout: float | None) -> bool:
        """Wait until any call has ended. False when none did within *timeout* seconds, or at ``stop``."""
        try:
            ended = self._ended.get_many(self._window, True, timeout)
        except UNHEARD:
            return False
        if not self._ordered:
            self._line.extend(ended)
        return True

    def ready(self) -> bool:
        """Whether the call whose turn it is has ended. Never blocks."""
        if not self._ordered and not self._line and self._ended.qsize():
            self.hear(0.0)
        return bool(self._line) and self._line[0][STATE] != WAITING

    def collect(self, results: deque[Any], at_most: int) -> None:
        """Move to *results* what the calls returned whose turn it is, up to the first failure. Never blocks."""
        if not self.ready():
            return
        line = self._line
        before = len(line)
        for _ in range(min(before, at_most)):
            call = line.popleft()
            if call[STATE] != DONE:
                line.appendleft(call)
                break
            results.append(call[RESULT])
        self.collected += before - len(line)
        if self._ordered and self._ended.qsize() > self._window:
            self._ended.clear()  # nobody has had to wait for so long

    def has_failure(self) -> bool:
        """Whether the call whose turn it is has failed."""
        return bool(self._line) and self._line[0][STATE] == FAILED

    def take_failure(self) -> BaseException:
        """What it raised."""
        self.collected += 1
        error: BaseException = self._line.popleft()[RESULT]
        return error

    def failures(self) -> list[BaseException]:
        """What others raised that have ended by now."""
        self.hear(0.0)
        return [call[RESULT] for call in self._line if call[STATE] == FAILED]

    def are_over(self) -> bool:
        """Whether no more calls are begun: one has failed, or somebody said so."""
        return self._waiting.is_shutdown

    def begin_no_more(self) -> None:
        """Drop the calls that wait. The threads end when those that are running have ended."""
        self._waiting.shutdown(immediate=True)

    def stop(self) -> None:
        """The same, and drop what those that are running return or raise. For any thread, finalizers too."""
        self._waiting.shutdown(immediate=True)
        self._ended.shutdown(immediate=True)


def _run_calls(function: Callable[[Any], Any], waiting: Queue[Call], ended: Queue[Call]) -> None:
    get, put = waiting.get, ended.put
    call: Call | None = None
    seen: object = None
    try:
        while True:
            call = get()
            try:
                result = call[RESULT] = function(call[ITEM])
                if type(result) is not seen:  # to ask each would cost as much as all the rest
                    refuse_coroutine(function, result)
                    seen = type(result)  # pyright: ignore[reportUnknownVariableType]
                del result
            except BaseException as error:
                note_item(error, call[ITEM], call[NUMBER])
                call[RESULT] = error
                call[STATE] = FAILED
                waiting.shutdown(immediate=True)  # before anybody can hear of it
                put(call)
                return
            call[STATE] = DONE
            put(call)
            call = None  # or its result would live until the next one comes
    except SHUT_DOWN:
        return
    finally:
        call = None  # an error's traceback refers to this frame: no cycle
