"""``headrace run --queue``: the input goes through a ledger in a queue file, which knows what is done."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from headrace.backends.sqlite.ledger import FAILED_BEFORE, Ledger
from headrace.cli.journal import Journal
from headrace.cli.reader import InputError
from headrace.cli.refusal import Refused
from headrace.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.backends.sqlite.ledger import Holder
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.cli.item import Item
    from headrace.cli.journal_options import QueueOptions
    from headrace.cli.worker import Source

__all__ = ["RunJournal", "open_run"]

# Seconds after which a process that was stopped, as by Ctrl-Z, loses the items that it has read. The default of other
# programs is shorter, so that others can do its work; a run's input is nobody else's.
LEASE = 86_400.0
ITEMS_AT_ONCE = 1000


def open_run(options: QueueOptions) -> RunJournal:
    """Begin a run of the queue. Raises ``Refused``."""
    from headrace.cli.queue_opening import open_queue

    url = options.queue or ""
    queue = open_queue(url, lease=None if "lease=" in url else LEASE)
    if not hasattr(queue, "durability"):
        raise Refused(f"--queue {url!r}: only a queue in a file knows what was done: name one (jobs.db)")
    try:
        journal = RunJournal(queue, url, Ledger(queue, retry_dead=options.retry_dead, again=options.again))
        holder = journal.ledger.begin()
    except HeadraceError as error:
        raise Refused(f"--queue {url!r}: {error}") from error
    if holder is not None:
        queue.close()
        raise Refused(_is_taken(url, holder))
    return journal


def _is_taken(url: str, holder: Holder) -> str:
    since = time.strftime("%H:%M:%S", time.localtime(holder.since))
    return (
        f"--queue {url!r}: process {holder.process} has been running its items since {since}, and two runs would not "
        f"know of each other's input: wait for it, or name another queue ({url.partition('#')[0]}#another). For "
        f"several at work on one queue: headrace put {url} < items, and headrace work {url} COMMAND, as often as you "
        "like"
    )


class RunJournal(Journal):
    """The journal of a run that has a ledger."""

    def __init__(self, queue: FileQueue[Any], url: str, ledger: Ledger) -> None:
        # The run's death, and its being ended, say nothing against an item: its deliveries are not counted.
        super().__init__(queue, url, deliveries=0)
        self.ledger = ledger
        self.was_read_to_its_end = False

    def feed(self, source: Source) -> Source:
        """What there is to do of *source*."""
        return LedgerSource(self, source)

    def last_words(self, failed: int, *, is_ended: bool) -> list[str]:
        """What becomes of items that failed, of those that were not done, and of those that are not in this input."""
        words: list[str] = []
        if failed or self.before.failed:
            words.append(f"headrace dead list {self.url} shows what failed; --retry-dead runs it again")
        if is_ended:
            words.append("the same command goes on from here")
        waiting = self.ledger.waiting
        if waiting and self.was_read_to_its_end:
            of = "item of an earlier run that is" if waiting == 1 else "items of earlier runs that are"
            wait = "waits" if waiting == 1 else "wait"
            words.append(
                f"{waiting:,} {of} not in this input {wait} in {self.url} (headrace work {self.url} COMMAND runs "
                f"them, headrace purge {self.url} drops them)"
            )
        return words


class LedgerSource:
    """The items of another source that are not done yet, each leased in the file before it is given."""

    def __init__(self, journal: RunJournal, source: Source) -> None:
        self._journal = journal
        self._holding = journal.holding
        self._source = source
        self._stopped: bool = False
        self.size_bytes = source.size_bytes

    def stop(self) -> None:
        """End the iteration, at once. May be called from any thread, and again."""
        self._stopped = True
        self._source.stop()
        self._holding.interrupt()

    def blocks(self) -> Iterator[list[Item]]:
        """The items, as many at a time as came at once; never an empty list. Waits for input. Raises ``InputError``."""
        try:
            for items in self._source.blocks():
                for begin in range(0, len(items), ITEMS_AT_ONCE):
                    if to_do := self._take(items[begin : begin + ITEMS_AT_ONCE]):
                        yield to_do
                if self._stopped:
                    return
            self._journal.was_read_to_its_end = not self._stopped
        except HeadraceError as error:
            raise InputError(str(error)) from error
        finally:
            if self._stopped:
                self._journal.give_back_what_was_not_begun()

    def _take(self, items: list[Item]) -> list[Item]:
        """Those of *items* that are to be done. Waits while the queue is paused."""
        contents = [self._holding.content(content_of(item), decode(item.line), item.line) for item in items]
        while (taken := self._journal.ledger.take(contents)) is None:
            self._holding.wait_until_resumed(lambda: self._stopped)
            if self._stopped:
                return []
        journal = self._journal
        to_do = [item for item, (number, _) in zip(items, taken, strict=True) if number >= 0]
        journal.hold(
            [(item.number, number, owner) for item, (number, owner) in zip(items, taken, strict=True) if number >= 0]
        )
        if len(to_do) < len(items):
            self._pass_over([(item, number) for item, (number, _) in zip(items, taken, strict=True) if number < 0])
        return to_do

    def _pass_over(self, items: list[tuple[Item, int]]) -> None:
        """These have ended before."""
        journal = self._journal
        for item, why in items:
            if why == FAILED_BEFORE:
                journal.before.failed += 1
            else:
                journal.before.done += 1
            journal.before.bytes += len(item.line) + 1
            if journal.order is not None:
                journal.order.skip(item.number)


def content_of(item: Item) -> Any:
    """A record as a dictionary, the values of several inputs as a list, all else as text."""
    try:
        fields = item.fields
    except Refused:  # it is no record, and fails when its turn comes
        return decode(item.line)
    if fields is not None:
        return dict(fields)
    if len(item.arguments) > 1:
        return [decode(value) for value in item.arguments]
    return decode(item.line)


def decode(line: bytes) -> str:
    """*line* as text: as ``headrace put`` has it, whatever is in it."""
    return line.decode("utf-8", "surrogateescape")
