"""``Handle``: an open queue file as an object: how it is opened, closed, shut down, and how its threads wait."""

from __future__ import annotations

import mmap
import os
import threading
from contextlib import suppress
from weakref import finalize

from headrace.backends.memory.python import remaining_until
from headrace.backends.sqlite import bell, statements
from headrace.backends.sqlite.file import CHANGING, open_file
from headrace.backends.sqlite.prefetch import Prefetch
from headrace.backends.sqlite.settings import Settings
from headrace.backends.sqlite.side import DRAINED, ITEMS, SIZE, SPACE, word
from headrace.backends.sqlite.states import DRAINING, ENDED, OPEN
from headrace.errors import LeaseLost, ShutDown, StorageError
from headrace.generic import Subscriptable, T
from headrace.serializers import CODES, decoder_by_code, serializer_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any, Self

    from headrace.backends.sqlite.file import QueueFile
    from headrace.backends.sqlite.statements import Claimed
    from headrace.backends.sqlite.storage import Operation, Storage
    from headrace.backends.sqlite.watching import Watch, Watches
    from headrace.serializers import Serializer

__all__ = ["Blocked", "Handle"]

# Whoever waits looks again after so many seconds, although nobody has rung: for programs that write into the file
# without Headrace, and for processes that were killed with a wake-up in hand.
SAFETY_SECONDS = 1.0

# Serializers that are there wherever a file can be opened.
SELF_EVIDENT = ("msgpack", "json")


class Handle(Subscriptable[T]):
    """What the methods of a ``FileQueue`` share."""

    def __init__(self, path: str, options: dict[str, Any]) -> None:
        settings = Settings(**options)
        settings.check()
        self.path = os.path.realpath(path)
        self.name = settings.queue
        self.durability = settings.durability
        self._settings = settings
        self._codec: Serializer | None = None
        if settings.serializer not in SELF_EVIDENT or settings.type is not None:
            self._codec = serializer_for(settings.serializer, settings.type)
        self._code: int = CODES[settings.serializer]
        self._encode: Callable[[Any], bytes] = self._first_encode
        self._readable = frozenset({self._code})
        self._is_synced = settings.durability == "power"
        self._state = OPEN
        self._is_closed = False
        self._is_released = False
        self._open()
        if settings.of_the_queue():
            self._file.storage.run(self._apply_settings)

    # -- opening ---------------------------------------------------------------------------------

    def _open(self) -> None:
        settings = self._settings
        self._file: QueueFile = open_file(self.path, lease=settings.lease)
        self._process = os.getpid()
        try:
            self._id: int = self._file.storage.run(self._find_queue)
        except BaseException:
            self._file.release()
            raise
        self._words = self._file.side.words
        self._items_word = word(self._id, ITEMS)
        self._space_word = word(self._id, SPACE)
        self._drained_word = word(self._id, DRAINED)
        # What get() has taken and task_done() is to settle: for each thread (its number) or task (a weak reference),
        # (item's number, owner's number). A task that holds nothing is not in it.
        self._held: dict[object, deque[tuple[int, int]]] = {}
        # Held while some are taken out of it. Reentrant for signal handlers.
        self._unholding = threading.RLock()
        self._is_unholding: Callable[[], bool] = getattr(self._unholding, "_is_owned")  # noqa: B009
        # The same of what leases and pools have taken, which settle one by one.
        self._out: set[tuple[int, int]] = set()
        # How many of the thread's own a task_done is just settling; under _unholding.
        self._being_settled = 0
        self._getters: list[int] = []
        self._putters: list[int] = []
        self._prefetch = Prefetch(self)
        # Where event loops wait; made for the first.
        self._watches: Watches | None = None
        # The owner's number under which others were told that we may hold items.
        self._announced = 0
        # When it was last looked for owners that have died, and when that is to be done again; monotonic.
        self._looked_at = 0.0
        self._looks_again_at = 0.0
        # An object that nobody has any more gives up what it holds.
        self._finalizer = finalize(
            self, abandon, self._file, self._id, self._held, self._out, self._prefetch.ready, self._process
        )
        self._finalizer.atexit = False

    def _find_queue(self, s: Storage) -> int:
        rows = s.execute("SELECT id FROM queue WHERE name = ?", (self.name,)).fetchall()
        if rows:
            return int(rows[0][0])
        ((number,),) = s.execute("INSERT INTO queue(name) VALUES(?) RETURNING id", (self.name,)).fetchall()
        return int(number)

    def _apply_settings(self, s: Storage) -> None:
        """Write those that were given: they are the queue's, for all processes."""
        for name, value in self._settings.of_the_queue().items():
            s.execute(f"UPDATE queue SET {name} = ? WHERE id = ?", (value, self._id))
            if name == "maxsize":
                s.ring(self._space_word)

    @property
    def _storage(self) -> Storage:
        """The storage, reopened in a forked child."""
        if self._process != os.getpid():
            self._reopen()
        if self._is_closed:
            raise StorageError(f"{self!r} was closed: open it again")
        return self._file.storage

    def _reopen(self) -> None:
        if self._file.children_may_not:
            raise StorageError(
                f"{self.path}: this process was forked in the middle of its parent's own call on the queue (from a "
                "signal handler): it cannot use the file"
            )
        with CHANGING:
            if self._process != os.getpid():  # another thread of the child may have been faster
                self._open()

    def close(self) -> None:
        """Give up this object: what it holds is given back, as further attempts; other objects go on.

        Who waits in one of its methods gets a ``ShutDown``. Closing twice does nothing.
        """
        if self._process != os.getpid():
            self._is_closed = self._is_released = True
        if self._is_released:
            return
        self.shutdown(immediate=True)
        self._prefetch.end()
        # From here on a settlement by another thread is refused, so that nothing is settled and given back too.
        self._is_closed = True
        held = self._holds()
        if held:
            self._file.storage.run(self._giving_back(held))
        self._held.clear()
        self._out.clear()
        self._file.write()
        # An interrupt until here leaves all this to the next call, or to the finalizer.
        if self._finalizer.detach() is None:
            return
        self._is_released = True
        if self._watches is not None:
            self._watches.end()
        # Whoever still looks finds nothing there, and that the queue is closed.
        self._words = nowhere()
        self._file.release()

    def _holds(self) -> list[tuple[int, int]]:
        """What this object has taken and not settled: (item's number, owner's number)."""
        held = [pair for pairs in list(self._held.values()) for pair in list(pairs)]
        return held + sorted(self._out)

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._is_closed

    def _giving_back(self, held: list[tuple[int, int]]) -> Operation:
        def step(s: Storage) -> None:
            for number, owner in held:
                with suppress(LeaseLost):
                    statements.retry(s, self._id, owner, number, None, "its queue was closed")

        return step

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, for another process, it is the same queue of the same file, opened there."""
        settings = self._settings
        options = {name: getattr(settings, name) for name in ("queue", "durability", "serializer", "type", "lease")}
        return type(self), (os.path.abspath(self.path), options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _counters(self, columns: str) -> tuple[Any, ...]:
        storage = self._storage
        self._file.write()
        rows = storage.look(f"SELECT {columns} FROM queue WHERE id = ?", (self._id,))
        if not rows:
            raise StorageError(f"{self.path}: the queue {self.name!r} is not in the file any more: open it again")
        return rows[0]  # type: ignore[no-any-return]

    @property
    def _serializer(self) -> Serializer:
        """What items are written with. Loaded when it is first asked for: that is half of what opening would cost."""
        if self._codec is None:
            self._codec = serializer_for(self._settings.serializer, self._settings.type)
        return self._codec

    def _first_encode(self, item: Any) -> bytes:
        self._encode = self._serializer.encode
        return self._encode(item)

    def _decoded(self, code: int, body: bytes) -> Any:
        """The item that *body* is. Raises DecodeError."""
        if code == self._code:
            return self._serializer.decode(body)
        return decoder_by_code(code, self._readable, self._settings.type).decode(body)

    def _run_or_later(self, step: Any) -> Any:
        """Take a step now; by the housekeeper where this is a destructor that has interrupted a transaction."""
        if self._file.storage.is_leading():
            self._file.housekeeper.do(step)
            return None
        try:
            return self._storage.run(step)
        except LeaseLost:
            raise
        except BaseException:
            # The disk has failed, or Ctrl-C has come, and nobody else knows of the item any more.
            self._file.housekeeper.do(step)
            raise

    @property
    def maxsize(self) -> int:
        """The bound on the waiting items; 0 or less is none. Kept in the file, for all. May be assigned."""
        return int(self._counters("maxsize")[0])

    @maxsize.setter
    def maxsize(self, value: int) -> None:
        if not isinstance(value, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"'maxsize' must be a whole number, not {type(value).__name__}: {value!r}")
        if abs(value) >= 2**63:
            raise ValueError(f"'maxsize' must be below 2**63, not {value!r}")
        self._change("maxsize", value, self._space_word)

    def _change(self, name: str, value: int, index: int) -> None:
        def step(s: Storage) -> None:
            s.execute(f"UPDATE queue SET {name} = ? WHERE id = ?", (value, self._id))
            s.ring(index)

        self._storage.run(step, self._is_synced)

    # -- waiting ---------------------------------------------------------------------------------

    def _wait(
        self, index: int, seen: int, deadline: float | None, late: type[Exception], longest: float | None = None
    ) -> None:
        """Sleep until a word is rung, or *longest* seconds at most. Raises *late* behind the deadline."""
        remaining = remaining_until(deadline)
        if remaining is not None and remaining <= 0:
            raise late
        longest = SAFETY_SECONDS if longest is None else min(longest, SAFETY_SECONDS)
        try:
            bell.wait(self._words, index, seen, longest if remaining is None else min(longest, remaining))
        except BaseException:
            # The ring may have been for this thread: let another one have it.
            bell.ring(self._words, index, 1)
            raise

    # -- the end ---------------------------------------------------------------------------------

    @property
    def is_shutdown(self) -> bool:
        """Whether this object was shut down."""
        return self._state != OPEN

    def shutdown(self, immediate: bool = False) -> None:
        """Put no more with this object, and let its ``get`` raise when nothing waits any more.

        Args:
            immediate: take no more either. What waits stays in the file.
        """
        self._state = max(self._state, ENDED if immediate else DRAINING)
        self._let_look()

    def _let_look(self) -> None:
        for index in (self._items_word, self._space_word, self._drained_word):
            bell.ring(self._words, index)
        if self._watches is not None:
            self._watches.alarm()

    # -- event loops: see watching.py ------------------------------------------------------------

    def _watched(self, line: int) -> Watch:
        """The watch of a line: 0 for items, 1 for room, 2 for ``join``."""
        if self._watches is None:
            from headrace.backends.sqlite.watching import Watches

            with CHANGING:
                self._watches = self._watches or Watches(self)  # type: ignore[arg-type]
        return self._watches[line]

    def _word_of(self, line: int) -> int:
        return (self._items_word, self._space_word, self._drained_word)[line]

    def _watch(self, line: int, post: Any) -> None:
        """Have a post stand in a line until there is something to do, which may be at once: see ``aio/post.py``."""
        self._watched(line).stand(post, look=True)

    def _unwatch(self, line: int, post: Any) -> None:
        """Have a post leave its line, and pass on the wake-up that it may have had."""
        watch = self._watched(line)
        if not watch.stands(post):
            bell.ring(self._words, self._word_of(line), 1)
        watch.step_out(post)

    def _ready(self, line: int) -> int:
        """How many of those who wait in a line would find something to do, as far as is known. Said once."""
        return self._watched(line).take_found()

    def __repr__(self) -> str:
        return f"<FileQueue {self.path}#{self.name}>"


_nowhere: list[mmap.mmap] = []


def nowhere() -> mmap.mmap:
    """The words of queues that are closed: the file's may be unmapped already."""
    if not _nowhere:
        _nowhere.append(mmap.mmap(-1, SIZE))
    return _nowhere[0]


class Blocked:
    """Counts a thread among those that are blocked, from ``begin`` to the end of the block.

    If the queue object is closed meanwhile, whatever that leads to is a ``ShutDown``.
    """

    __slots__ = ("_count", "_handle", "_has_begun")

    def __init__(self, handle: Handle[Any], count: list[int]) -> None:
        self._handle = handle
        self._count = count
        self._has_begun = False

    def begin(self) -> None:
        """Count it, once."""
        if not self._has_begun:
            self._has_begun = True
            self._count.append(1)

    def __enter__(self) -> Blocked:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._has_begun:
            if self._count:  # empty where Ctrl-C came in the middle of begin()
                self._count.pop()
            if isinstance(error, StorageError) and self._handle.is_closed:
                raise ShutDown from None


def abandon(
    file: QueueFile,
    queue: int,
    held: dict[object, deque[tuple[int, int]]],
    out: set[tuple[int, int]],
    ahead: deque[Claimed],
    process: int,
) -> None:
    """A queue object is gone. In a destructor, so everything is left to the housekeeper."""
    if process != os.getpid():
        return

    def give_back(s: Storage) -> None:
        for row in ahead:
            with suppress(LeaseLost):
                statements.undo(s, queue, row[10], row[2])
        for pairs in (out, *held.values()):
            for number, owner in pairs:
                with suppress(LeaseLost):
                    statements.retry(s, queue, owner, number, None, "its queue object was dropped")

    if ahead or out or any(held.values()):
        file.housekeeper.do(give_back)
    file.release_soon()
