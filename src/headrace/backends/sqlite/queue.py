"""``FileQueue``: a queue in a file, under the names and with the meanings of ``queue.Queue``.

Its methods are in ``handle.py``, ``putting.py``, ``taking.py``, ``settling.py`` and ``counting.py``. The way of a put:
``putting.py`` encodes the item, ``statements.py`` says what is done to the tables, ``storage.py`` does it in a
transaction, ``bell.py`` wakes who waits. ``owners.py`` is about processes that hold items, ``housekeeper.py`` is the
thread that looks after all that.
"""

from __future__ import annotations

from headrace.backends.sqlite.counting import Counting
from headrace.backends.sqlite.putting import Putting
from headrace.backends.sqlite.settling import Settling
from headrace.generic import T

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from headrace import selecting
    from headrace.backends.sqlite.aio import FileAsyncQueue

__all__ = ["FileQueue"]


class FileQueue(Putting[T], Settling[T], Counting[T]):
    """A queue in a file, for any number of threads and processes of this machine. Made by ``headrace.open``.

    It has the methods of ``queue.Queue``. What ``put`` has returned from is in the file, as safe as *durability* says.
    What ``get`` returns is leased: it is the queue's again if this process dies before ``task_done``, or is stopped for
    longer than *lease* seconds. So an item is delivered at least once, and twice only where a lease was lost.

    ``shutdown`` ends this object, not the queue in the file, which outlives all objects: its ``put`` raises, its
    ``get`` raises when nothing waits any more, and other objects and processes go on. ``shutdown(immediate=True)``
    takes no more although items wait: they stay in the file.

    Attributes:
        name: of the queue in its file.
        path: of the file.
        durability: what ``put`` waits for: ``"power"``: that the item is on disk; ``"process"``: that the item
            survives the death of all processes (a power cut may take the last moments); ``"none"``: nothing; today
            it is as ``"process"``.

    All methods may be called from any thread. After a fork the child opens the file anew by itself; what the parent
    holds stays the parent's.
    """

    @property
    def aio(self) -> FileAsyncQueue[T]:
        """This queue for coroutines: see ``headrace.AsyncQueue``."""
        from headrace.backends.sqlite.aio import FileAsyncQueue

        return FileAsyncQueue(self)

    def getting(self, *, required: bool = False) -> selecting.Getting[T]:
        """Taking the next item of this queue, as a case of ``headrace.select``. The queue itself means the same.

        With *required* the select ends with ``ShutDown`` when this object is shut down and no item waits any more.
        """
        from headrace.selecting import Getting

        return Getting(self, required=required)

    def putting(self, item: T, **more: Any) -> selecting.Putting[T]:
        """Putting *item* into this queue, as a case of ``headrace.select``. *more* is what else its ``put`` has."""
        from headrace.selecting import Putting

        return Putting(self, item, **more)
