"""The threads of a run beside the main one: the reader, and the consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headrace.cli.output import OutputLost
from headrace.cli.signals import ENDED
from headrace.cli.spawn import RunEnded
from headrace.cli.watch import CallWatch, WrittenOff
from headrace.consumers import Consumer, Producer
from headrace.errors import ShutDown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from headrace import Lease, Queue
    from headrace.cli.delivery import Piece
    from headrace.cli.item import Item
    from headrace.cli.outcome import Outcome
    from headrace.cli.rules import Rules
    from headrace.cli.signals import Events

    class Source(Protocol):
        """Where the items come from."""

        def blocks(self) -> Iterator[list[Item]]:
            """The items, as many at a time as came at once; never an empty list. Raises ``InputError``."""
            ...

        def stop(self) -> None:
            """End the iteration, at once. May be called from any thread, and again."""
            ...

        def size_bytes(self) -> int | None:
            """How many bytes there are to read; None where that cannot be known."""
            ...

    class Handler(Protocol):
        """What a consumer does with an item. For one thread."""

        def attempt(self, item: Item) -> Outcome:
            """Do it, and keep what it printed. Raises ``RunEnded``."""
            ...

        def deliver(self, item: Item, outcome: Outcome) -> None:
            """Write what it printed and why it failed. Raises ``OutputLost``."""
            ...

        def pieces(self) -> Iterable[Piece]:
            """What it printed."""
            ...

        def stdout_bytes(self) -> int:
            """How much of that went to standard output."""
            ...

        def drop(self) -> None:
            """Forget what it printed."""
            ...

        def finish(self) -> None:
            """Write what is left to be written. Called after the last item."""
            ...


__all__ = ["Feeder", "Inheritance", "Worker"]

# How much may wait between the reader and the consumers. Much, for while the queue is full the reader is woken for
# every item, which costs some per cent of what a command costs; bounded, for the input may have no end.
MOST_WAITING_ITEMS = 16384
MOST_WAITING_BYTES = 8 << 20


class Feeder(Producer["Item"]):
    """Puts the items of the input into the queue."""

    def __init__(self, queue: Queue[Item], source: Source, events: Events, rules: Rules) -> None:
        super().__init__(queue, name="Reader")
        self._items = queue
        self._input = source
        self._events = events
        self._order = rules.order
        self._halter = None if rules.settling is None else rules.settling.halter
        # Who knows of the items that may come back; None where none does.
        self._returning = rules.settling if rules.settling is not None and rules.settling.retry is not None else None

    def run(self) -> None:
        """Put all items; called in the thread."""
        try:
            super().run()
            if self._halter is not None:
                self._halter.all_were_read()
        finally:
            if self._returning is not None:
                # With the end of the reader the queue is shut down and consumers go home: but items may come back.
                self._items.join()
            self._events.post(ENDED)

    def produce(self) -> Iterator[Item]:
        """Yield the items, and keep what waits in the queue bounded in bytes too."""
        for items in self._input.blocks():
            longest = max([len(item.line) for item in items]) or 1
            self._items.maxsize = max(1, min(MOST_WAITING_ITEMS, MOST_WAITING_BYTES // longest))
            if self._halter is not None:
                self._halter.add_read(len(items))
            if self._returning is not None:
                self._returning.wait_for_room()
            if self._order is None:
                yield from items
            else:
                for item in items:
                    self._order.wait_for_room(item.number)
                    yield item


class Inheritance(NamedTuple):
    """What a consumer that was written off leaves to the one that replaces it."""

    item: Item
    outcome: Outcome
    lease: Lease[Item] | None


class Worker(Consumer["Item"]):
    """Handles items, and counts them.

    Attributes:
        done, failed, retried, handled_bytes: written by this thread alone, read by any at any time.
        watch: tells the main thread what this one is doing, where that matters.
        lease: of the item that it has, where items may come back. For the main thread after it took the item away.
    """

    def __init__(
        self,
        queue: Queue[Item],
        handler: Handler,
        events: Events,
        rules: Rules,
        inheritance: Inheritance | None = None,
    ) -> None:
        super().__init__(queue)
        self._items = queue
        self._step = handler
        self._attempt = handler.attempt
        self._events = events
        self._pace = rules.pace
        self._settling = rules.settling
        self._takes_leases = rules.settling is not None and rules.settling.retry is not None
        self._inheritance = inheritance
        self.watch = CallWatch() if rules.call_seconds is not None else None
        self.lease: Lease[Item] | None = None
        self.done = 0
        self.failed = 0
        self.retried = 0
        self.handled_bytes = 0

    def run(self) -> None:
        """Handle items until there are no more; called in the thread."""
        try:
            if self._inheritance is not None:
                self._settle_inheritance(self._inheritance)
            if self._takes_leases:
                self._run_with_leases()
            else:
                super().run()
            self._step.finish()
        except WrittenOff:
            return  # another posts that it has ended, in its place
        except BaseException:
            self._events.post(ENDED)
            raise
        self._events.post(ENDED)

    def _run_with_leases(self) -> None:
        while True:
            try:
                lease = self.lease = self._items.lease()
            except ShutDown:
                return
            _settle_lease(lease, self.handle(lease.item))

    def _settle_inheritance(self, inheritance: Inheritance) -> None:
        self._inheritance = None
        try:
            delay = self._end_attempt(inheritance.item, inheritance.outcome)
        except OutputLost:
            delay = None
        if inheritance.lease is not None:
            _settle_lease(inheritance.lease, delay)

    def consume(self, item: Item) -> None:
        """Handle *item*, which does not come back."""
        self.handle(item)

    def handle(self, item: Item) -> float | None:
        """Handle *item*, unless the run is being ended. Returns in how many seconds it is to be tried again, if it is.

        Raises:
            WrittenOff: it took so long that this consumer was replaced.
        """
        try:
            if self._pace is not None:
                self._pace.wait()
            if self._settling is not None and not self._settling.begin(item):
                return None
            if self.watch is None:
                return self._end_attempt(item, self._attempt(item))
            return self._end_attempt(item, self._watched_attempt(item, self.watch))
        except (RunEnded, OutputLost):
            return None

    def _watched_attempt(self, item: Item, watch: CallWatch) -> Outcome:
        watch.begin(item)
        try:
            return self._attempt(item)
        finally:
            watch.end()

    def _end_attempt(self, item: Item, outcome: Outcome) -> float | None:
        settling = self._settling
        if settling is not None:
            delay = settling.delay_before_next(item, outcome)
            if delay is not None:
                self.retried += 1
                self._step.drop()
                return delay
        self._step.deliver(item, outcome)
        if settling is not None:
            settling.record(item, outcome, self._step)
        self._step.drop()
        if outcome.failure is None:
            self.done += 1
        else:
            self.failed += 1
        self.handled_bytes += len(item.line) + 1  # and its separator
        if settling is not None:
            settling.count(failed=outcome.failure is not None)
        return None


def _settle_lease(lease: Lease[Item], delay: float | None) -> None:
    if delay is None:
        lease.done()
    else:
        lease.retry(delay)
