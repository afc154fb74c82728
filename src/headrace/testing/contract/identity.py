# pyright: basic
"""What the classes of ``queue`` are besides queues: names, aliases, weak references, attributes, base classes."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from types import GenericAlias
from typing import TYPE_CHECKING, Any

from headrace.testing.promise import promise, raises

if TYPE_CHECKING:
    from headrace.testing.promise import Make


@promise("identity", "fifo", "settling")
def a_first_in_first_out_queue_is_named_queue(make: Make) -> None:
    assert type(make()).__name__ == type(make()).__qualname__ == "Queue"


@promise("identity", "lifo")
def a_last_in_first_out_queue_is_named_lifoqueue(make: Make) -> None:
    assert type(make()).__name__ == type(make()).__qualname__ == "LifoQueue"


@promise("identity", "priority")
def a_priority_queue_is_named_priorityqueue(make: Make) -> None:
    assert type(make()).__name__ == type(make()).__qualname__ == "PriorityQueue"


@promise("identity", "settling")
def the_three_queues_are_one_family(make: Make) -> None:
    assert "Queue" in [ancestor.__name__ for ancestor in type(make()).__mro__]


@promise("identity")
def the_class_has_a_generic_alias(make: Make) -> None:
    cls: Any = type(make())
    assert type(cls[int]()) is cls
    alias: Any = cls[int]
    assert alias.__origin__ is cls
    assert alias.__args__ == (int,)
    assert isinstance(alias, GenericAlias)


@promise("identity", "settling")
def a_class_may_be_derived_from_the_generic_alias(make: Make) -> None:
    base = type(make())

    class Strings(base[str]):  # type: ignore[misc, valid-type]
        pass

    queue = Strings(3)
    queue.put("a")
    assert queue.get() == "a"
    assert queue.maxsize == 3
    assert issubclass(Strings, base)


@promise("identity")
def a_queue_can_be_referred_to_weakly(make: Make) -> None:
    queue = make()
    reference = weakref.ref(queue)
    assert reference() is queue
    del queue
    gc.collect()
    assert reference() is None


@promise("identity")
def a_queue_is_itself_and_no_other(make: Make) -> None:
    queue, other = make(), make()
    assert queue == queue
    assert queue != other
    assert len({queue, other, queue}) == 2


@promise("identity", "settling")
def a_queue_takes_attributes_of_one_s_own(make: Make) -> None:
    queue = make()
    queue.name = "jobs"
    assert queue.name == "jobs"
    del queue.name
    assert not hasattr(queue, "name")


@promise("identity", "settling")
def a_subclass_may_have_attributes_arguments_and_other_bases(make: Make) -> None:
    class Named:
        def describe(self) -> str:
            return f"queue {self.name}"  # type: ignore[attr-defined]

    class NamedQueue(type(make()), Named):  # type: ignore[misc]
        def __init__(self, name: str, *arguments: int) -> None:
            self.name = name
            super().__init__(*arguments)

    queue = NamedQueue("jobs", 5)
    assert queue.describe() == "queue jobs"
    assert queue.maxsize == 5
    queue.put(1)
    assert queue.get() == 1


@promise("identity")
def a_queue_cannot_be_copied_or_pickled(make: Make) -> None:
    queue = make()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with raises(TypeError):
            pickle.dumps(queue, protocol)
    with raises(TypeError):
        copy.copy(queue)
    with raises(TypeError):
        copy.deepcopy(queue)


@promise("identity")
def unknown_constructor_arguments_are_type_errors(make: Make) -> None:
    with raises(TypeError):
        type(make())(1, 2)
    with raises(TypeError):
        type(make())(size=1)


@promise("identity", "objects")
def a_taken_item_is_let_go_of(make: Make) -> None:
    class Item:
        pass

    queue = make()
    references = []
    for _ in range(20):
        queue.put(Item())
        references.append(weakref.ref(queue.get()))
    gc.collect()
    assert [reference() for reference in references] == [None] * 20


@promise("identity", "objects")
def a_queue_that_dies_lets_go_of_its_items(make: Make) -> None:
    class Item:
        pass

    queue = make()
    item = Item()
    reference = weakref.ref(item)
    queue.put(item)
    del item
    assert reference() is not None
    del queue
    gc.collect()
    assert reference() is None


@promise("identity", "objects")
def a_queue_in_a_cycle_is_collected(make: Make) -> None:
    queue = make()
    queue.put(queue)
    reference = weakref.ref(queue)
    del queue
    gc.collect()
    assert reference() is None


@promise("identity", "objects", "clear")
def cleared_items_are_let_go_of(make: Make) -> None:
    class Item:
        def __lt__(self, other: object) -> bool:
            return False

    queue = make()
    items = [Item() for _ in range(5)]
    references = [weakref.ref(item) for item in items]
    for item in items:
        queue.put(item)
    items.clear()
    del item
    queue.clear()
    gc.collect()
    assert [reference() for reference in references] == [None] * 5


@promise("identity", "settling")
def a_queue_shows_its_state(make: Make) -> None:
    queue = make(3)
    queue.put(1)
    shown = repr(queue)
    assert type(queue).__name__ in shown
    assert "1 unfinished" in shown
    assert "maxsize 3" in shown
    assert "shut down" not in shown
    queue.shutdown()
    assert "shut down" in repr(queue)
