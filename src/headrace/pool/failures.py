"""What becomes of an item that has failed: again, dead, ignored, or the end of all."""

from __future__ import annotations

from time import time

from headrace.consumers.arguments import SHUT_DOWN
from headrace.consumers.failure import note, note_item
from headrace.consumers.retry import Dead, Ignore, Retry, Stop
from headrace.errors import HandlerSettled, LeaseLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from headrace.backends.memory.envelope import Envelope
    from headrace.consumers.retry import Verdict
    from headrace.pool.member import Member
    from headrace.pool.work import Work

    OnError: TypeAlias = str | Callable[[Any, BaseException, int], Verdict] | None

__all__ = ["Failures", "NotAwaitable", "check_on_error"]


class NotAwaitable(TypeError):
    """A handler for an event loop has returned what cannot be awaited: no item will fare better."""


def check_on_error(on_error: object) -> None:
    """Raise unless *on_error* is one of the words, a function, or None."""
    if callable(on_error) and not isinstance(on_error, type):
        return
    if on_error not in (None, "stop", "dead"):
        raise ValueError(
            f"on_error must be 'stop', 'dead', or a function of (item, error, attempt) that returns "
            f"headrace.Retry, Dead, Stop or Ignore, not {on_error!r}"
        )


class Failures:
    """Deals with failed items as the pool's user has said. Called in the consumers' threads."""

    def __init__(self, work: Work, retry: Retry | None, on_error: OnError) -> None:
        self._work = work
        self._retry = retry
        self._decide = on_error if callable(on_error) else None
        # What is done with items that are not tried again.
        self._otherwise: type[Dead] | type[Stop] = (
            Stop if on_error == "stop" or (on_error is None and not retry) else Dead
        )

    def deal_with(self, consumer: Member, envelope: Envelope, error: BaseException, seconds: float | None) -> None:
        """Settle a failed item, which the caller has taken out of the consumer's hand.

        Args:
            seconds: how long the handler ran, if anybody measured it.
        """
        delay: float | None = None
        if self._work.is_stopping and isinstance(error, SHUT_DOWN):
            # It was to pass something on when all was stopped: what is behind this pool was shut down first.
            self._work.give_back(envelope, error)
            return
        try:
            verdict = self._verdict(envelope, error)
            if isinstance(verdict, Retry) and envelope.attempt < verdict.attempts:
                delay = verdict.delay_before(envelope.attempt + 1)
        except BaseException as mistake:
            note(mistake, "raised by what was to say what becomes of a failed item: on_error, or retry")
            error, verdict = with_context(mistake, error), Stop()
        if delay is not None:
            self._try_again(consumer, envelope, error, seconds, delay)
        elif isinstance(verdict, Ignore):
            self._ignore(consumer, envelope, error, seconds)
        else:
            self._give_up(consumer, envelope, error, seconds, stop=isinstance(verdict, Stop))

    def _verdict(self, envelope: Envelope, error: BaseException) -> Retry | Dead | Stop | Ignore:
        if isinstance(error, (HandlerSettled, NotAwaitable)):
            return Stop()
        if self._decide is None:
            if self._retry is not None and self._retry.covers(error, envelope.attempt):
                return self._retry
            return self._otherwise()
        verdict: Any = self._decide(envelope.item, error, envelope.attempt)
        if isinstance(verdict, type) and issubclass(verdict, (Retry, Dead, Stop, Ignore)):
            verdict = verdict()
        if not isinstance(verdict, (Retry, Dead, Stop, Ignore)):
            raise TypeError(f"on_error returned {verdict!r}: return headrace.Retry(...), Dead, Stop or Ignore")
        return verdict

    def _ignore(self, consumer: Member, envelope: Envelope, error: BaseException, seconds: float | None) -> None:
        consumer.items += 1
        if self._work.tell_done:
            self._work.tell("done", consumer, envelope, seconds=seconds, error=error)
        if not self._work.settle(envelope):
            consumer.items -= 1

    def _try_again(
        self, consumer: Member, envelope: Envelope, error: BaseException, seconds: float | None, delay: float
    ) -> None:
        consumer.retried += 1
        # Before it is back in the queue, where another consumer may start it.
        if self._work.tell_retried:
            self._work.tell("retried", consumer, envelope, seconds=seconds, error=error, delay=delay)
        try:
            refused = self._work.queue._retry(envelope, delay, error)
        except LeaseLost:
            consumer.retried -= 1
            self._work.say_lost(envelope)
            return
        if refused is not None:
            consumer.retried -= 1
            consumer.dead += 1
            refusal = with_context(refused.error, error)
            if self._work.tell_dead:
                self._work.tell("dead", consumer, envelope, seconds=seconds, error=refusal)

    def _give_up(
        self, consumer: Member, envelope: Envelope, error: BaseException, seconds: float | None, *, stop: bool
    ) -> None:
        if envelope.first_failed is None:
            envelope.first_failed = time()
        consumer.dead += 1
        if self._work.tell_dead:
            self._work.tell("dead", consumer, envelope, seconds=seconds, error=error)
        if stop:
            note_item(error, envelope.item)
            self._work.fail(error)
        # Even an item that stops all is kept: it may be looked at, and be tried again. Its traceback stays with the
        # error where that will be raised.
        traceback = error.__traceback__
        try:
            self._work.queue._bury(envelope, error)
        except LeaseLost:
            consumer.dead -= 1
            self._work.say_lost(envelope)
        if stop:
            # Not assigned: an exception may refuse attributes (a frozen dataclass).
            BaseException.with_traceback(error, traceback)


def with_context(error: BaseException, earlier: BaseException) -> BaseException:
    """*error*, which came up while *earlier* was dealt with."""
    if error is not earlier and error.__context__ is None:
        try:
            error.__context__ = earlier
        except Exception:
            pass
    return error
