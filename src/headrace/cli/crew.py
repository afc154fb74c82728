"""The threads of a run, from the first item to the exit status."""

from __future__ import annotations

import errno
import signal
import threading
import time
from typing import TYPE_CHECKING

from headrace import Queue
from headrace.cli import status
from headrace.cli.describe import describe_rate
from headrace.cli.ending import LOOK_SECONDS, Ending
from headrace.cli.output import OutputLost
from headrace.cli.signals import ENDED, OUTPUT_LOST, suspend_this_process
from headrace.cli.spawn import RunEnded
from headrace.consumers import Consumer, Producer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.progress import Progress
    from headrace.cli.signals import Events
    from headrace.cli.spawn import Children

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
        """What a consumer does with an item."""

        def handle(self, item: Item) -> bool:
            """Do it; False when the item failed, which was reported. Raises ``RunEnded``, ``OutputLost``."""
            ...

        def finish(self) -> None:
            """Write what is left to be written. Called in the consumer's thread, after the last item."""
            ...


__all__ = ["Crew", "Tally"]

# How much may wait between the reader and the consumers. Much, for while the queue is full the reader is woken for
# every item, which costs some per cent of what a command costs; bounded, for the input may have no end.
MOST_WAITING_ITEMS = 16384
MOST_WAITING_BYTES = 8 << 20

LAST_INSTRUCTIONS_SECONDS = 0.1


class Feeder(Producer["Item"]):
    """Puts the items of the input into the queue."""

    def __init__(self, queue: Queue[Item], source: Source, events: Events) -> None:
        super().__init__(queue, name="Reader")
        self._items = queue
        self._input = source
        self._events = events

    def run(self) -> None:
        """Put all items; called in the thread."""
        try:
            super().run()
        finally:
            self._events.post(ENDED)

    def produce(self) -> Iterator[Item]:
        """Yield the items, and keep what waits in the queue bounded in bytes too."""
        for items in self._input.blocks():
            longest = max([len(item.line) for item in items]) or 1
            self._items.maxsize = max(1, min(MOST_WAITING_ITEMS, MOST_WAITING_BYTES // longest))
            yield from items


class Worker(Consumer["Item"]):
    """Handles items, and counts them.

    Attributes:
        done, failed, handled_bytes: written by this thread alone, read by any at any time.
    """

    def __init__(self, queue: Queue[Item], handler: Handler, events: Events) -> None:
        super().__init__(queue)
        self._handle_item = handler.handle
        self._finish = handler.finish
        self._events = events
        self.done = 0
        self.failed = 0
        self.handled_bytes = 0

    def run(self) -> None:
        """Handle items until there are no more; called in the thread."""
        try:
            super().run()
            self._finish()
        finally:
            self._events.post(ENDED)

    def consume(self, item: Item) -> None:
        """Handle *item*, unless the run is being ended."""
        try:
            succeeded = self._handle_item(item)
        except (RunEnded, OutputLost):
            return
        if succeeded:
            self.done += 1
        else:
            self.failed += 1
        self.handled_bytes += len(item.line) + 1  # and its separator


class Tally:
    """What the consumers have done so far. May be read at any time, from any thread."""

    def __init__(self, workers: list[Worker], total_bytes: int | None) -> None:
        self._workers = workers
        self._begun = time.monotonic()
        self.total_bytes = total_bytes

    @property
    def done(self) -> int:
        """Items that succeeded."""
        return sum(worker.done for worker in self._workers)

    @property
    def failed(self) -> int:
        """Items that failed."""
        return sum(worker.failed for worker in self._workers)

    @property
    def handled_bytes(self) -> int:
        """How much of the input those items were."""
        return sum(worker.handled_bytes for worker in self._workers)

    @property
    def seconds(self) -> float:
        """How long it took until now."""
        return time.monotonic() - self._begun

    def summary(self) -> str:
        """All of it in words."""
        seconds, done, failed = self.seconds, self.done, self.failed
        words = f"{done:,} done, {failed:,} failed" if failed else f"{done:,} done"
        if seconds < 1:
            return f"{words} in {seconds:.2f} s"  # too short for a rate that means anything
        return f"{words} in {seconds:.1f} s ({describe_rate((done + failed) / seconds)})"


class Crew:
    """A reader, consumers, and the main thread that waits for their end or ends them early.

    Args:
        handlers: one for each consumer.
    """

    def __init__(
        self, source: Source, handlers: list[Handler], children: Children, events: Events, output: Output
    ) -> None:
        self._source = source
        self._children = children
        self._events = events
        self._output = output
        self._queue: Queue[Item] = Queue(MOST_WAITING_ITEMS)
        self._workers = [Worker(self._queue, handler, events) for handler in handlers]
        # The reader last: there is someone to take what it puts.
        self._threads: list[threading.Thread] = [*self._workers, Feeder(self._queue, source, events)]
        self._ending: Ending | None = None
        self.tally = Tally(self._workers, source.size_bytes())

    def run(self, progress: Progress) -> int:
        """Handle all items and return the exit status.

        A thread may still be running when that is a run's that was ended early: ``all_ended`` tells.

        Raises:
            InputError: the input could not be read to its end. What had been read was handled.
        """
        try:
            self._wait_for(self._start(), progress)
        except BaseException:
            # A mistake of ours. Nothing may go on running behind the traceback.
            self._end(signal.SIGTERM, status.FAILED)
            raise
        if self._ending is not None:
            return self._ending.status
        for thread in self._threads:
            thread.join()  # raises what the thread has raised
        return status.FAILED if self.tally.failed else status.DONE

    def all_ended(self) -> bool:
        """Whether no thread of the crew is left behind. Waits a moment for those that have just done their last."""
        give_up_at = time.monotonic() + LAST_INSTRUCTIONS_SECONDS
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            # Not its own join, which raises what ended the thread.
            threading.Thread.join(thread, max(0.0, give_up_at - time.monotonic()))
        return not any(thread.is_alive() for thread in started)

    def _start(self) -> int:
        """Start the threads and return how many."""
        for started, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                # The reader is started last: nothing was run so far, and nothing will be.
                self._output.say(f"cannot start so many consumers: {error} (lower -j)")
                self._end(signal.SIGTERM, status.USAGE)
                return started
        return len(self._threads)

    def _wait_for(self, running: int, progress: Progress) -> None:
        """Wait until *running* threads have ended, and all that the commands have started if they are ended early."""
        while running or (self._ending is not None and self._children.any_left()):
            for event in self._events.wait(progress.seconds_to_wait if self._ending is None else LOOK_SECONDS):
                if event == ENDED:
                    running -= 1
                else:
                    self._react(event)
            if self._ending is not None:
                self._ending.go_on()
                if self._ending.is_over():
                    return
            progress.tick()

    def _react(self, event: int) -> None:
        """Do what a signal or a lost output asks for."""
        if event == signal.SIGTSTP:
            self._output.draw(b"")
            self._children.suspend_while(suspend_this_process)
        elif self._ending is not None:
            self._ending.hurry()
        elif event == OUTPUT_LOST:
            self._end(signal.SIGTERM, self._status_of_lost_output())
        else:
            self._end(event, status.by_signal(event))

    def _end(self, signal_number: int, exit_status: int) -> None:
        """Take no more items and end what runs."""
        self._queue.shutdown(immediate=True)
        self._source.stop()
        self._ending = Ending(self._children, signal_number, exit_status)

    def _status_of_lost_output(self) -> int:
        error = self._output.error
        if error is None or error.errno == errno.EPIPE:
            return status.BROKEN_PIPE
        return status.FAILED
