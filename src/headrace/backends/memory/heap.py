"""A heap that keeps equal entries in order, and that nothing can strike in the midst of a change.

User code runs inside a heap: the comparisons, and with them whatever a signal, the garbage collector or a destructor
brings. So a change is planned first, with all its comparisons, and then made in one call into C. A comparison that
raises has changed nothing. A change that comes from inside of a comparison makes the plan worthless: it is noticed
when the plan is to be carried out, and another is made.
"""

from __future__ import annotations

from itertools import pairwise
from operator import delitem, setitem

from headrace.backends.memory.undivided import at_once

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Steps: TypeAlias = list[tuple[Callable[..., Any], *tuple[Any, ...]]]

__all__ = ["Entry", "Heap"]


class Entry:
    """An item in a heap, ordered by its key and then by its turn.

    It compares with bare items too, for heaps that hold both.
    """

    __slots__ = ("item", "key", "keyed", "turn")

    def __init__(self, key: Any, turn: int, item: Any, keyed: bool) -> None:
        self.key = key
        self.turn = turn
        self.item = item
        # Whether the key was given with priority=; else it is the item itself.
        self.keyed = keyed

    def __lt__(self, other: Any) -> bool:
        if not isinstance(other, Entry):
            return bool(self.key < other)
        if self.key < other.key:
            return True
        if other.key < self.key:
            return False
        return self.turn < other.turn

    def __gt__(self, other: Any) -> bool:
        return bool(other < self.key)


class Heap:
    """Entries, of which the first to come out is at index 0."""

    __slots__ = ("_plans", "entries")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        # A token for each plan that is being made; a change throws all but its own away.
        self._plans: set[object] = set()

    def insert(self, entry: Entry) -> None:
        """Put *entry* where it belongs. Raises what a comparison raises, and then has changed nothing."""
        while not self._carry_out(plan_insert, entry):
            continue

    def remove_first(self) -> Entry:
        """Take out the first entry. IndexError when there is none; else raises what a comparison raises."""
        taken: list[Entry] = []
        while not self._carry_out(plan_removal, taken):
            continue
        return taken[0]

    def lay_bare(self) -> list[Any]:
        """Make the list of entries one of bare items, still a heap; those with a priority of their own stay entries.

        The list stays the same one, for an insertion may be under way into it.
        """
        while not self._carry_out(plan_baring):
            continue
        return self.entries

    def _carry_out(self, plan: Callable[..., Steps], *arguments: Any) -> bool:
        """Make a plan and carry it out; False when something else has changed the heap meanwhile."""
        token = object()
        self._plans.add(token)
        try:
            steps = plan(self.entries, *arguments)
            at_once([(self._plans.remove, token), *steps, (self._plans.clear,)])
        except LookupError:
            if token in self._plans:
                self._plans.remove(token)
                raise
            return False
        except BaseException:
            self._plans.discard(token)
            raise
        return True


def plan_insert(heap: list[Entry], entry: Entry) -> Steps:
    """The steps that add *entry*."""
    path = [len(heap)]
    while path[-1] > 0:
        parent = (path[-1] - 1) >> 1
        if not entry < heap[parent]:
            break
        path.append(parent)
    moves: Steps = [(setitem, heap, below, heap[above]) for below, above in pairwise(path)]
    return [(heap.append, entry), *moves, (setitem, heap, path[-1], entry)]


def plan_removal(heap: list[Entry], taken: list[Entry]) -> Steps:
    """The steps that move the first entry to *taken*."""
    size = len(heap) - 1
    last = heap[size]
    # The hole at the top sinks along the lesser children to the place where `last` fits.
    path = [0]
    while (child := 2 * path[-1] + 1) < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if last < heap[child]:
            break
        path.append(child)
    moves: Steps = [(setitem, heap, above, heap[below]) for above, below in pairwise(path)]
    return [(taken.append, heap[0]), *moves, (setitem, heap, path[-1], last), (delitem, heap, size)]


def plan_baring(heap: list[Entry]) -> Steps:
    """The step that puts the items in the place of their entries."""
    return [(setitem, heap, slice(None), [entry if entry.keyed else entry.item for entry in heap])]
