"""The threads of a run, from the first item to the exit status."""

from __future__ import annotations

import errno
import signal
import threading
import time
from typing import TYPE_CHECKING

from headrace import Queue
from headrace.cli import status
from headrace.cli.ending import LOOK_SECONDS, Ending
from headrace.cli.rules import NO_RULES, Rules
from headrace.cli.signals import ENDED, HALTED, OUTPUT_LOST, RECORD_LOST, suspend_this_process
from headrace.cli.tally import Tally
from headrace.cli.worker import MOST_WAITING_ITEMS, Feeder, Worker

if TYPE_CHECKING:
    from headrace.cli.halt import Halter, HaltRule
    from headrace.cli.item import Item
    from headrace.cli.output import Output
    from headrace.cli.progress import Progress
    from headrace.cli.replacing import Replacing
    from headrace.cli.signals import Events
    from headrace.cli.spawn import Children
    from headrace.cli.worker import Handler, Source

__all__ = ["Crew"]

LAST_INSTRUCTIONS_SECONDS = 0.1


class Crew:
    """A reader, consumers, and the main thread that waits for their end or ends them early.

    Args:
        handlers: one for each consumer.
        replacing: replaces consumers whose call runs over time; None where none is.
    """

    def __init__(
        self,
        source: Source,
        handlers: list[Handler],
        children: Children,
        events: Events,
        output: Output,
        rules: Rules = NO_RULES,
        replacing: Replacing | None = None,
    ) -> None:
        self._source = source
        self._children = children
        self._events = events
        self._output = output
        self._rules = rules
        self._queue: Queue[Item] = Queue(MOST_WAITING_ITEMS)
        self._workers = [Worker(self._queue, handler, events, rules) for handler in handlers]
        self._feeder = Feeder(self._queue, source, events, rules)
        self._replacing = replacing
        self._ending: Ending | None = None
        before = None if rules.journal is None else rules.journal.before
        self.tally = Tally([*self._workers], source.size_bytes(), before)
        self._halter: Halter | None = None if rules.settling is None else rules.settling.halter
        if self._halter is not None:
            self._halter.when_reached = self._halt

    @property
    def _threads(self) -> list[threading.Thread]:
        """Those that are worth waiting for. The reader is the last: there is someone to take what it puts."""
        return [*self._workers, self._feeder]

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
        if self._rules.settling is not None and self._rules.journal is None:
            # Those in a queue file have not failed: they are tried again by whoever goes on.
            self.tally.given_up += self._rules.settling.end_waiting()
        if self._ending is not None:
            return self._ending.status
        for thread in self._threads:
            thread.join()  # raises what the thread has raised
        return self._status()

    def _status(self) -> int:
        """The exit status of a run that was not ended from outside."""
        if self.halted_by is not None and self.halted_by.why == "success":
            return status.DONE
        return status.FAILED if self.tally.failed else status.DONE

    @property
    def halted_by(self) -> HaltRule | None:
        """The rule of ``--halt`` that was met; None where none was."""
        return self._halter.rule if self._halter is not None and self._halter.is_reached else None

    @property
    def was_ended(self) -> bool:
        """Whether the running items were ended, by a signal, say."""
        return self._ending is not None

    def all_ended(self) -> bool:
        """Whether no thread of the crew is left behind. Waits a moment for those that have just done their last."""
        if self._replacing is not None and self._replacing.any_left():
            return False
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
            for event in self._events.wait(self._seconds_to_wait(progress)):
                if event == ENDED:
                    running -= 1
                else:
                    self._react(event)
            if self._ending is not None:
                self._ending.go_on()
                if self._ending.is_over():
                    return
            progress.tick()

    def _seconds_to_wait(self, progress: Progress) -> float | None:
        """How long there is nothing to do unless an event comes. Ends what has run over time."""
        if self._ending is not None:
            return LOOK_SECONDS
        waits = [] if progress.seconds_to_wait is None else [progress.seconds_to_wait]
        if self._rules.deadlines is not None:
            waits.append(self._rules.deadlines.look())
        if self._replacing is not None:
            try:
                waits.append(self._replacing.look(self._workers, self._queue, self.tally))
            except RuntimeError as error:
                self._output.say(f"cannot replace a consumer whose call runs over time: {error}")
                self._end(signal.SIGTERM, status.FAILED)
                return LOOK_SECONDS
        return min(waits, default=None)

    def _react(self, event: int) -> None:
        """Do what a signal, a lost output or ``--halt`` asks for."""
        if event == signal.SIGTSTP:
            self._output.draw(b"")
            self._suspend()
        elif event == HALTED:
            if self._ending is None:
                self._end(signal.SIGTERM, self._status())
        elif self._ending is not None:
            self._ending.hurry()
        elif event == OUTPUT_LOST:
            self._end(signal.SIGTERM, self._status_of_lost_output())
        elif event == RECORD_LOST:
            self._end(signal.SIGTERM, status.FAILED)
        else:
            self._end(event, status.by_signal(event))

    def _suspend(self) -> None:
        """Stop with all that runs, until someone has all of it continue. That time is nobody's."""
        begun = time.monotonic()
        self._children.suspend_while(suspend_this_process)
        seconds = time.monotonic() - begun
        if self._rules.deadlines is not None:
            self._rules.deadlines.postpone(seconds)
        for worker in self._workers:
            if worker.watch is not None:
                worker.watch.postpone(seconds)

    def _halt(self) -> None:
        """Take no more items. Called in the thread that has ended the item that was one too many."""
        self._take_no_more()
        assert self._halter is not None
        if self._halter.rule.now:
            self._events.post(HALTED)

    def _take_no_more(self) -> None:
        self._rules.stop()
        self._queue.shutdown(immediate=True)
        self._source.stop()

    def _end(self, signal_number: int, exit_status: int) -> None:
        """Take no more items and end what runs."""
        self._take_no_more()
        self._ending = Ending(self._children, signal_number, exit_status)

    def _status_of_lost_output(self) -> int:
        error = self._output.error
        if error is None or error.errno == errno.EPIPE:
            return status.BROKEN_PIPE
        return status.FAILED
