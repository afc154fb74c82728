"""``Holding``: items of a queue as the command line holds them, by their numbers, settled many at a time.

A pool settles an item when its handler returns. ``headrace run`` and ``headrace work`` settle one when what its command
printed has been written, at whatever time that is, and give back all others when they end.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.ledger import digest_of, give_back
from headrace.errors import Empty, EncodeError, LeaseLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NamedTuple

    from headrace.backends.sqlite.delivery import Delivery
    from headrace.backends.sqlite.ledger import Content
    from headrace.backends.sqlite.queue import FileQueue
    from headrace.backends.sqlite.statements import Claimed
    from headrace.backends.sqlite.storage import Storage

    class Held(NamedTuple):
        """An item in the file: its number there, and that of the owner who holds it."""

        id: int
        owner: int

    class Failed(NamedTuple):
        """An item that has failed for good.

        Attributes:
            traceback: what there is to read about it.
            deliveries: how many more attempts there were than deliveries were counted.
        """

        held: Held
        error: str
        traceback: str
        deliveries: int

else:
    from collections import namedtuple

    Held = namedtuple("Held", "id owner")
    Failed = namedtuple("Failed", "held error traceback deliveries")

__all__ = ["Failed", "Held", "Holding"]


class Holding:
    """What the command line does with one queue in a file. All methods may be called from any thread.

    Every method but ``interrupt`` raises StorageError where the file fails.
    """

    def __init__(self, queue: FileQueue[Any]) -> None:
        self.queue = queue
        self.close = queue.close
        self.join = queue.join
        # Lets those look that wait in ``claim`` and ``wait_until_resumed``.
        self.interrupt = queue._interrupt

    # -- taking ----------------------------------------------------------------------------------

    def claim(self, count: int, stop: list[Any], rows: list[Claimed]) -> None:
        """Lease up to *count* items into *rows*. Waits for the first.

        Raises:
            TakingStopped: there is something in *stop*. There may be something in *rows* all the same.
        """
        self.queue._claim(count, True, None, rows, stop, True)

    def delivery(self, row: Claimed) -> Delivery | None:
        """What was claimed, decoded; None if that cannot be, and it is dead now."""
        delivery = self.queue._delivery(row)
        if delivery is not None:
            delivery.is_settled = True  # by its number, whatever becomes of this object
        return delivery

    def wait_until_resumed(self, is_stopped: Callable[[], bool]) -> None:
        """Wait while the queue is paused, and nobody says that it is to stop."""
        queue = self.queue
        while True:
            seen = bell.read(queue._words, queue._items_word)
            if is_stopped() or not queue.is_paused:
                return
            queue._wait(queue._items_word, seen, None, Empty)

    def content(self, *values: Any) -> Content:
        """The first of *values* that the queue's serializer has a form for, as it is put. Raises EncodeError."""
        queue = self.queue
        for value in values[:-1]:
            try:
                return digest_of(value), queue._code, queue._encode(value)
            except EncodeError:
                continue
        return digest_of(values[-1]), queue._code, queue._encode(values[-1])

    # -- settling --------------------------------------------------------------------------------

    def settle(self, done: Iterable[Held], failed: Sequence[Failed]) -> int:
        """Some items are done, some are dead letters. On return that survives the death of this process.

        Returns how many were not held any more.
        """
        queue = self.queue
        groups = by_owner(done)

        def step(s: Storage) -> int:
            lost = 0
            for owner, numbers in groups.items():
                lost += len(numbers) - statements.settle(s, queue._id, owner, numbers)
            for each in failed:
                lost += not bury(s, queue._id, each)
            return lost

        return int(queue._storage.run(step))

    def sync(self) -> None:
        """Wait until all that was settled is as safe as the queue's durability says."""
        if self.queue._is_synced:
            self.queue._storage.sync()

    def give_back(self, held: Iterable[Held], deliveries: int) -> None:
        """Items were not done: they wait in their old places, and their *deliveries* do not count."""
        queue = self.queue
        groups = by_owner(held)

        def step(s: Storage) -> None:
            for owner, numbers in groups.items():
                give_back(s, queue._id, owner, numbers, deliveries)

        if groups:
            queue._storage.run(step)


def by_owner(held: Iterable[Held]) -> dict[int, list[int]]:
    """The numbers of items, by their owners' numbers."""
    groups: dict[int, list[int]] = {}
    for each in held:
        groups.setdefault(each.owner, []).append(each.id)
    return groups


def bury(s: Storage, queue: int, each: Failed) -> bool:
    """Make a dead letter of an item. False if it is not held any more. A step of a transaction."""
    number, owner = each.held
    if each.deliveries:
        s.execute(
            "UPDATE leased SET deliveries = deliveries + ? WHERE queue = ? AND id = ? AND owner = ?",
            (each.deliveries, queue, number, owner),
        )
    try:
        statements.bury(s, queue, owner, number, each.error, each.traceback)
    except LeaseLost:
        return False
    return True
