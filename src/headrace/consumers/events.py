"""What a pool tells about its items, and to whom: events, and the listeners that they are handed to."""

from __future__ import annotations

from collections import namedtuple

from headrace.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NamedTuple, TypeAlias

    class Event(NamedTuple):
        """Something that happened to an item of a pool, or to one of its consumers."""

        kind: str
        queue: str
        consumer: str
        item: object
        id: int | None
        attempt: int
        time: float
        seconds: float | None = None
        error: BaseException | None = None
        delay: float | None = None
        headers: dict[str, str] | None = None

    Listener: TypeAlias = Callable[[Event], object]
else:
    # typing costs several milliseconds at import; a namedtuple is the same record.
    class Event(
        namedtuple(
            "Event",
            "kind queue consumer item id attempt time seconds error delay headers",
            defaults=(None, None, None, None),
        )
    ):
        """Something that happened to an item of a pool, or to one of its consumers.

        Attributes:
            kind: "put", "started", "done", "retried", "dead" or "stopped" (a consumer has ended).
            queue: the name of the pool, or "queue".
            consumer: the name of the thread; "" for "put".
            item: the item itself, not a copy; None for "stopped".
            id: the number of the lease, the same for all attempts; None for "put" and "stopped".
            attempt: which attempt it is, from 1; 0 for "put" and "stopped".
            time: when it happened, in seconds since the epoch.
            seconds: how long the handler ran, for "done", "retried" and "dead".
            error: what went wrong, for "retried" and "dead", and for a "done" whose failure was to be ignored.
            delay: in how many seconds the item is ready again, for "retried".
            headers: what listeners attached to the item when it was put (the context of a trace, say).
        """

        __slots__ = ()


__all__ = ["KINDS", "Dispatch", "Event", "Listener"]

KINDS = frozenset({"put", "started", "done", "retried", "dead", "stopped"})

if not TYPE_CHECKING:
    Listener = object  # a name to import; what it means is above


class Dispatch:
    """Hands events to listeners, and keeps what these raise from doing harm.

    Who listens to what is worked out once, here: a pool asks ``wants`` when it starts, and makes no event that
    nobody wants. Safe to use from several threads at once.

    Args:
        listeners: each a function of one event. It may have the attributes ``kinds`` (those that it wants; all when
            there are none), ``start(pool)``, ``stop()`` and ``on_put(item)``, which returns headers or None.

    Raises:
        TypeError: a listener cannot be called, or its ``kinds`` is no set of names.
        ValueError: a listener wants a kind that there is not.
    """

    __slots__ = ("_by_kind", "_complained", "_listeners", "_started", "_tagging")

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        # These three never change.
        if not hasattr(listeners, "__iter__"):
            raise TypeError(f"listeners must be a list of them, not {listeners!r}: write [{_name_of(listeners)}]")
        every: tuple[Any, ...] = tuple(listeners)
        self._listeners: tuple[Listener, ...] = every
        wanted = [(listener, _kinds_of(listener)) for listener in self._listeners]
        self._by_kind = {kind: tuple(one for one, kinds in wanted if kind in kinds) for kind in KINDS}
        self._tagging: tuple[tuple[Listener, Callable[[object], dict[str, str] | None]], ...] = tuple(
            (one, one.on_put) for one in every if hasattr(one, "on_put")
        )
        # Those whose start() went well, in that order. Used by the thread that enters and leaves the pool.
        self._started: list[Listener] = []
        # Listeners that have raised, by their place. Any thread adds, with setdefault, which only one of them wins.
        self._complained: dict[int, object] = {}

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def wants(self, kind: str) -> bool:
        """Whether anybody listens to events of that *kind*; for "put", also whether anybody attaches headers."""
        return bool(self._by_kind[kind]) or (kind == "put" and bool(self._tagging))

    def emit(self, event: Event) -> None:
        """Call the listeners of this kind of event, in this thread.

        Raises nothing, except what a signal raises in the main thread meanwhile.
        """
        for listener in self._by_kind[event.kind]:
            try:
                listener(event)
            except BaseException as error:
                if _is_of_a_signal(error):
                    raise
                self._complain(listener, f"the event {event.kind!r}", error)

    def start(self, pool: object) -> None:
        """Tell the listeners that *pool* is entered."""
        for listener in self._listeners:
            start = getattr(listener, "start", None)
            if start is None or self._call(listener, "start()", start, pool):
                self._started.append(listener)

    def stop(self) -> None:
        """Tell the listeners that were started that the pool is left, the last one first."""
        while self._started:
            listener = self._started.pop()
            stop = getattr(listener, "stop", None)
            if stop is not None:
                self._call(listener, "stop()", stop)

    def headers_for(self, item: object) -> dict[str, str] | None:
        """What the listeners want to travel with *item*, which is being put; None when that is nothing."""
        headers: dict[str, str] = {}
        for listener, on_put in self._tagging:
            try:
                headers.update(on_put(item) or {})
            except BaseException as error:
                if _is_of_a_signal(error):
                    raise
                self._complain(listener, "on_put()", error)
        return headers or None

    def _call(self, listener: Listener, what: str, method: Callable[..., object], *arguments: object) -> bool:
        """Call a *method* of a listener, and say whether it went well."""
        try:
            method(*arguments)
        except BaseException as error:
            if _is_of_a_signal(error):
                raise
            self._complain(listener, what, error)
            return False
        return True

    def _complain(self, listener: Listener, what: str, error: BaseException) -> None:
        """Log what a listener raised, the first time. A listener that fails for each item must not flood the log."""
        mark = object()
        if self._complained.setdefault(id(listener), mark) is not mark:
            return
        log().error(
            "the listener %s failed in %s: the pool goes on, and further failures of it are not logged",
            _name_of(listener),
            what,
            exc_info=error,
        )


def _is_of_a_signal(error: BaseException) -> bool:
    """Whether *error* may be Ctrl-C or a SIGTERM that came meanwhile, and is not the listener's.

    They are raised in the main thread alone. In a consumer's thread nothing may come out of a listener: the item that
    it was told of is yet to be settled.
    """
    if not isinstance(error, (KeyboardInterrupt, SystemExit)):
        return False
    import threading

    return threading.current_thread() is threading.main_thread()


def _kinds_of(listener: Any) -> frozenset[str]:
    """What *listener* wants to hear of."""
    if isinstance(listener, type) or not callable(listener):
        hint = f": write {listener.__name__}(), with parentheses" if isinstance(listener, type) else ""
        raise TypeError(f"a listener is a function of one event, not {listener!r}{hint}")
    kinds = getattr(listener, "kinds", None)
    if kinds is None:
        return KINDS
    if isinstance(kinds, str):
        raise TypeError(f"kinds of {_name_of(listener)} must be a set of names, not a string: {{{kinds!r}}}")
    unknown = frozenset(kinds) - KINDS
    if unknown:
        raise ValueError(
            f"kinds of {_name_of(listener)} has {', '.join(sorted(map(repr, unknown)))}, "
            f"which is no kind of event: use some of {', '.join(sorted(KINDS))}"
        )
    return frozenset(kinds)


def _name_of(listener: object) -> str:
    """A listener's name in a line of the log: its repr may be long, or raise."""
    return getattr(listener, "__qualname__", None) or type(listener).__qualname__
