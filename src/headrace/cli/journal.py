"""``Journal``: how each item of a queue in a file has ended, written to the file.

Every item that is handled here is leased in the file. When it has ended it is settled there: done, or a dead letter.
The end of a command is in the file before its consumer takes the next item, so that what is running is all that the
death of this process can have done twice; on the disk it is ``WRITE_SECONDS`` later, with others, for the sake of power
cuts. Calls may take no longer than a transaction: they are settled with others too.

Nothing is settled before what it printed has been written, so that what a crash takes away is done again, and never
lost.

Items that have not ended when the run does are given back, undone: those that were not begun at once when it is told
to end, the others when their commands are gone.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.backends.sqlite.holding import Failed, Held, Holding
from headrace.cli.output import STDERR, OutputLost
from headrace.cli.tally import Before
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headrace.backends.sqlite.queue import FileQueue
    from headrace.cli.item import Item
    from headrace.cli.order import Order
    from headrace.cli.outcome import Outcome
    from headrace.cli.settling import Printed
    from headrace.cli.worker import Source

__all__ = ["Journal"]

WRITE_SECONDS = 0.05
# How long the thread that writes may take to end, when it waits for a reader of the output who does not read.
END_SECONDS = 1.0
# So much of the end of what a failed command said on standard error is kept with the dead letter.
TAIL_BYTES = 2000


class Ended(NamedTuple):
    """An item that has ended.

    Attributes:
        number: its place in the input.
        failure: why it failed; None when it is done.
        tail: the end of what it said.
    """

    number: int
    held: Held
    failure: str | None
    tail: str
    attempts: int


class Journal:
    """Settles the items of one queue. All methods may be called from any thread.

    Args:
        url: how the user calls the queue.
        deliveries: how many were counted for the items that are held here, and do not count for those given back.

    Attributes:
        holding: the items of the queue.
        before: the items of this run's input that have ended in earlier runs.
        order: who says how much of the output has been written, where it is not written at once.
        flush: writes the output of calls that is gathered. Raises ``OutputLost``. None for commands.
        when_lost: called once, when nothing can be written to the file any more, with why.
        room: notified whenever an item has ended, or waits for another attempt.
        ended: how many items have.
    """

    def __init__(self, queue: FileQueue[Any], url: str, *, deliveries: int) -> None:
        self.holding = Holding(queue)
        self.url = url
        self.name = f"the queue {url}"
        self.before = Before()
        self.order: Order | None = None
        self.flush: Callable[[], None] | None = None
        self.when_lost: Callable[[str], None] = _nobody_cares
        self._deliveries = deliveries
        # Held while something is settled, so that nothing is settled twice. Taken before the other one.
        self._settling = threading.Lock()
        # Guards all below.
        self._lock = threading.Lock()
        self.room = threading.Condition(self._lock)
        self._something = threading.Condition(self._lock)
        self.ended = 0
        # By their places in the input: those that have not ended; of these, the begun ones that wait for another
        # attempt, and those that are at work.
        self._held: dict[int, Held] = {}
        self._waiting: set[int] = set()
        self._begun: set[int] = set()
        # Those that have, and are not settled yet.
        self._ended: list[Ended] = []
        self._is_to_be_written: bool = False
        self._is_closing: bool = False
        self._was_lost: bool = False
        self._thread = threading.Thread(target=self._write_on_time, name="Journal", daemon=True)

    def feed(self, source: Source) -> Source:
        """What there is to do of *source*."""
        return source

    def begin(self) -> None:
        """Start writing."""
        self._thread.start()

    # -- what it is told -------------------------------------------------------------------------

    def hold(self, items: Iterable[tuple[int, int, int]]) -> None:
        """Items were leased: the place of each in the input, its number, its owner's."""
        with self._lock:
            for place, number, owner in items:
                self._held[place] = Held(number, owner)

    def forget(self, number: int) -> None:
        """The item at this place is settled already."""
        with self._lock:
            self._held.pop(number, None)

    def begins(self, item: Item) -> None:
        """An attempt at *item* begins."""
        with self._lock:
            self._begun.add(item.number)
            self._waiting.discard(item.number)

    def waits(self, item: Item) -> None:
        """*item* waits for another attempt."""
        with self._lock:
            self._waiting.add(item.number)
            self.room.notify()

    def at_work(self) -> int:
        """How many are at work, or wait for a consumer. With the lock held."""
        return len(self._held) - len(self._waiting)

    def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
        """Note how *item* ended. Of a command whose output was written it is in the file on return."""
        failure = outcome.failure
        tail = "" if failure is None or printed is None else tail_of(printed)
        number = item.number
        with self._lock:
            held = self._held.pop(number, None)
            if held is None:
                return
            self._begun.discard(number)
            self._waiting.discard(number)
            if not self._is_to_be_written:
                self._is_to_be_written = True
                self._something.notify()
            self._ended.append(Ended(number, held, failure, tail, item.attempt))
            self.ended += 1
            self.room.notify()
        # Whoever's output is held back is settled by the one who writes it.
        if self.flush is None and (self.order is None or number <= self.order.written):
            self._settle_what_was_printed()

    # -- writing ---------------------------------------------------------------------------------

    def _write_on_time(self) -> None:
        while True:
            with self._lock:
                self._something.wait_for(lambda: self._is_to_be_written or self._is_closing)
                self._something.wait_for(lambda: self._is_closing, WRITE_SECONDS)
                if self._is_closing:
                    return
                self._is_to_be_written = False
            if self.flush is not None:
                self._settle_what_was_printed()
            try:
                self.holding.sync()
            except HeadraceError as error:
                self._lose(error)

    def _settle_what_was_printed(self) -> None:
        with self._settling:
            with self._lock:
                ended = list(self._ended)
            try:
                if self.flush is not None:
                    self.flush()
                self._settle(self._printed(ended))
            except OutputLost:
                pass  # the run is ended for that, and what was not printed is given back
            except HeadraceError as error:
                self._lose(error)

    def _printed(self, ended: list[Ended]) -> list[Ended]:
        """Those of *ended* whose output has been written."""
        if self.order is None:
            return ended
        written = self.order.written
        return [each for each in ended if each.number <= written]

    def _settle(self, ended: Sequence[Ended]) -> None:
        """Settle items in the file, and forget them. Raises HeadraceError."""
        if not ended or self._was_lost:
            return
        failed = [
            Failed(each.held, each.failure, each.tail, each.attempts - self._deliveries)
            for each in ended
            if each.failure is not None
        ]
        lost = self.holding.settle([each.held for each in ended if each.failure is None], failed)
        if lost:
            self._warn(f"{lost} items were settled too late: this process was stopped for long; they may run twice")
        settled = {each.number for each in ended}
        with self._lock:
            self._ended = [each for each in self._ended if each.number not in settled]

    def _lose(self, error: HeadraceError) -> None:
        with self._lock:
            if self._was_lost:
                return
            self._was_lost = True
        self.when_lost(f"cannot write {self.name}: {error}")

    def _warn(self, message: str) -> None:
        from headrace.log import log

        log().warning("%s: %s", self.url, message)

    # -- the end ---------------------------------------------------------------------------------

    def give_back_what_was_not_begun(self) -> None:
        """Nothing is begun any more: what was not begun is others' at once."""
        with self._lock:
            numbers = [number for number in self._held if number not in self._begun]
            held = [self._held.pop(number) for number in numbers]
        try:
            self.holding.give_back(held, self._deliveries)
        except HeadraceError as error:
            self._lose(error)

    def close(self, *, is_all_printed: bool) -> bool:
        """Settle what has ended, give back what has not, and close the file. Returns whether all of it was written.

        Args:
            is_all_printed: what has ended was printed. Elsewhere nobody knows, and it is given back where that matters.
        """
        with self._lock:
            self._is_closing = True
            self._something.notify()
        self._thread.join(END_SECONDS)
        # Unless that waits for a reader of the output who does not read, and then holds it.
        has_it = self._settling.acquire(timeout=0 if self._thread.is_alive() else -1)
        try:
            with self._lock:
                ended = list(self._ended)
            if not is_all_printed:
                ended = [] if self.flush is not None else self._printed(ended)
            if has_it:
                self._settle(ended)
            with self._lock:
                rest = [*self._held.values(), *[each.held for each in self._ended]]
            self.holding.give_back(rest, self._deliveries)
            self.holding.sync()
            self.holding.close()
        except HeadraceError as error:
            self._lose(error)
        return not self._was_lost

    def last_words(self, failed: int, *, is_ended: bool) -> list[str]:
        """What there is to say at the end, beside how many items were done.

        Args:
            failed: how many items have failed.
            is_ended: the run was ended by a signal.
        """
        return [f"headrace dead list {self.url} shows what failed"] if failed else []


def tail_of(printed: Printed) -> str:
    """The end of what was said on standard error; on standard output where nothing was."""
    tails: dict[int, bytes] = {}
    for place, data in printed.pieces():
        tails[place] = (tails.get(place, b"") + data)[-TAIL_BYTES:]
    tail = tails.get(STDERR) or b"".join(tails.values())
    return tail.decode("utf-8", "replace")


def _nobody_cares(message: str) -> None:
    pass
