"""Dead letters: items that failed for good, kept to be looked at, tried again, or dropped."""

from __future__ import annotations

from time import time

from headrace.backends.memory.book import book_of

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from headrace.backends.memory.book import Book
    from headrace.backends.memory.envelope import Envelope

__all__ = ["DeadLetter", "DeadLetters", "bury", "put_back", "settle"]


class DeadLetter:
    """An item that failed for good.

    Attributes:
        item: what was put.
        id: its number in its queue.
        error: what the last attempt raised. Its traceback is taken off it, for that would keep all that the failed
            function held: see ``traceback``.
        priority: what it was put with, None if it was put without.
        attempts: how often the item was delivered.
        first_failed_at, failed_at: when the first and the last attempt failed, in seconds since the epoch.
    """

    __slots__ = ("_lines", "attempts", "error", "failed_at", "first_failed_at", "id", "item", "priority")

    def __init__(self, envelope: Envelope, number: int, error: BaseException, attempts: int) -> None:
        self.item = envelope.item
        self.id = number
        self.error = error
        self.attempts = attempts
        self.failed_at = time()
        self.first_failed_at = envelope.first_failed or self.failed_at
        self.priority = envelope.priority
        self._lines = without_tracebacks(error)

    @property
    def traceback(self) -> str:
        """The traceback of the last attempt's error, with those of its causes, as Python prints it."""
        import traceback as tools

        # Frames are looked up as files, lines and names; the source is read now.
        parts: list[str] = []
        for text, places in self._lines:
            frames = [tools.FrameSummary(file, line, name) for file, line, name in places]
            if frames:
                parts += ["Traceback (most recent call last):\n", *tools.StackSummary.from_list(frames).format()]
            parts.append(text)
        return "".join(parts)

    def __repr__(self) -> str:
        from headrace.consumers.failure import shown

        times = "attempt" if self.attempts == 1 else "attempts"
        return f"<DeadLetter {self.id}: {shown(self.item)}, {self.attempts} {times}, {shown(self.error)}>"


BECAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
MEANWHILE = "\nDuring handling of the above exception, another exception occurred:\n\n"


def without_tracebacks(error: BaseException) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """Take the tracebacks off *error* and what led to it; return what they said, the first cause first."""
    found: list[tuple[str, list[tuple[str, int, str]]]] = []
    seen: set[int] = set()
    one: BaseException | None = error
    after = ""
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        found.append((said(one) + after, places_of(one)))
        cause = one.__cause__
        after = BECAUSE if cause is not None else MEANWHILE
        one = cause if cause is not None or one.__suppress_context__ else one.__context__
    found.reverse()
    return found


def places_of(error: BaseException) -> list[tuple[str, int, str]]:
    """File, line and function of each frame of the traceback of *error*, which is taken off."""
    places: list[tuple[str, int, str]] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append((code.co_filename, step.tb_lineno or 0, code.co_name))
        step = step.tb_next
    # Not by assignment, which the class of the error may refuse: one that is frozen, say.
    BaseException.with_traceback(error, None)
    return places


def said(error: BaseException) -> str:
    """The last line of a traceback of *error*, and its notes."""
    name = type(error).__qualname__
    if type(error).__module__ not in ("builtins", "__main__"):
        name = f"{type(error).__module__}.{name}"
    try:
        text = str(error)
    except Exception:
        text = "<an exception that has no text>"
    return (f"{name}: {text}\n" if text else f"{name}\n") + notes_of(error)


def notes_of(error: BaseException) -> str:
    """The notes of an error, a line each: whatever else somebody may have put in their place."""
    try:
        return "".join(f"{note}\n" for note in getattr(error, "__notes__", ()))
    except Exception:
        return ""


def settle(queue: Any) -> None:
    """Count one taken item as done: by the class's method, for a pool may have put a guard before the object's."""
    queue.__class__.task_done(queue)


def bury(queue: Any, book: Book, envelope: Envelope, error: BaseException) -> DeadLetter:
    """Make a dead letter of an item that was taken from *queue*. It counts as done."""
    letter = DeadLetter(envelope, book.number(envelope), error, envelope.attempt)
    book.dead[letter.id] = letter
    settle(queue)
    return letter


def put_back(queue: Any, envelope: Envelope, *, front: bool = False) -> DeadLetter | None:
    """Put a taken item back into *queue*, in front of all others or where items are put.

    If the queue refuses it (a hook or a comparison of the user's raises), the item is buried, or it would be lost: that
    dead letter is returned.
    """
    try:
        queue._give_back(envelope, front)
    except Exception as refusal:
        return bury(queue, book_of(queue), envelope, refusal)
    return None


class DeadLetters:
    """The dead letters of a queue, in the order in which they died: ``queue.dead``.

    A live view: ``len`` and iteration show what is there at the moment; ``queue.dead[id]`` is one of them. They stay
    until they are tried again or dropped. Every method may be called from any thread.
    """

    __slots__ = ("_book", "_queue")

    def __init__(self, queue: Any, book: Book) -> None:
        self._queue = queue
        self._book = book

    def __len__(self) -> int:
        return len(self._book.dead)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(list(self._book.dead.values()))

    def __contains__(self, number: object) -> bool:
        return number in self._book.dead

    def __getitem__(self, number: int) -> DeadLetter:
        try:
            return self._book.dead[number]
        except KeyError:
            raise KeyError(f"no dead letter has the id {number!r}: it was dropped or retried, or never was") from None

    def retry(self, number: int, block: bool = True, timeout: float | None = None) -> None:
        """Put the item of the dead letter with the id *number* into its queue again, as a new one.

        Blocks for room as ``put`` does. If that raises, the letter stays.

        Raises:
            KeyError: there is no such letter.
            Full, ShutDown: as ``put``.
        """
        letter = self[number]
        # Out first, so that of two who retry it one gets a KeyError.
        if self._book.dead.pop(number, None) is None:
            self[number]
        try:
            if letter.priority is None:
                self._queue.put(letter.item, block, timeout)
            else:
                self._queue.put(letter.item, block, timeout, priority=letter.priority)
        except BaseException:
            self._book.dead[number] = letter
            raise

    def retry_all(self, block: bool = True, timeout: float | None = None) -> int:
        """Put all items that are here now into the queue again, and return how many. As ``retry`` for each."""
        count = 0
        for number in list(self._book.dead):
            try:
                self.retry(number, block, timeout)
            except KeyError:
                continue
            count += 1
        return count

    def drop(self, number: int) -> DeadLetter:
        """Take the dead letter with the id *number* away and return it. Raises KeyError when there is none."""
        letter = self[number]
        self._book.dead.pop(number, None)
        return letter

    def drop_all(self) -> int:
        """Take all dead letters away, and return how many there were."""
        count = 0
        for number in list(self._book.dead):
            count += self._book.dead.pop(number, None) is not None
        return count

    def __repr__(self) -> str:
        return f"<{len(self)} dead letters of {self._queue!r}>"

    def _repr_html_(self) -> str:
        from headrace.consumers.failure import shown
        from headrace.html import table

        rows = [(letter.id, shown(letter.item), letter.attempts, shown(letter.error)) for letter in self]
        return table("dead letters: id, item, attempts, error", rows)
