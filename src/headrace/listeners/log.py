"""``LogListener``: one line of the log for each event."""

from __future__ import annotations

import json
import logging

from headrace.consumers.events import KINDS
from headrace.consumers.failure import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from headrace.consumers.events import Event

__all__ = ["LogListener"]


class LogListener:
    """Writes each event as one line of ``key=value`` pairs, with the same fields in the record for JSON formatters.

    ::

        done queue=mail consumer=Consumer-1 id=7 attempt=1 seconds=0.0312 item='anna@example.org'

    Items that are done and consumers that end are logged at *level*; puts and starts at DEBUG, retries at WARNING,
    and items that are dead at ERROR, the last two with the traceback. An item is shown by its repr, cut to
    some 200 characters. The record's attributes are ``event``, ``queue``, ``consumer``, ``item_id``, ``attempt``,
    ``seconds``, ``delay``, ``error`` and ``item``; those that an event has nothing for are absent.

    Whether DEBUG is enabled is asked once for a pool, when that is made: puts and starts that nobody wants to see then
    cost nothing. Safe to use from several threads, and for several pools.

    Args:
        logger: where to; ``logging.getLogger("headrace")`` when left out.
        level: of what goes well.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self._logger = logging.getLogger("headrace") if logger is None else logger
        self._levels = {
            "put": min(level, logging.DEBUG),
            "started": min(level, logging.DEBUG),
            "done": level,
            "retried": max(level, logging.WARNING),
            "dead": max(level, logging.ERROR),
            "stopped": level,
        }

    @property
    def kinds(self) -> frozenset[str]:
        """The events that are wanted now: puts and starts only if their level is enabled."""
        if self._logger.isEnabledFor(self._levels["put"]):
            return KINDS
        return KINDS - {"put", "started"}

    def __call__(self, event: Event) -> None:
        """Log *event*, if its level is enabled."""
        level = self._levels[event.kind]
        if not self._logger.isEnabledFor(level):
            return
        fields = _fields(event)
        text = " ".join([event.kind, *(f"{name}={_quoted(value)}" for name, value in fields.items())])
        # The text is given as an argument: a percent sign in an item is none of the logging module's.
        self._logger.log(level, "%s", text, exc_info=event.error, extra={"event": event.kind, **_named(fields)})


def _fields(event: Event) -> dict[str, object]:
    """What there is to say of *event*, in the order in which it is said."""
    fields: dict[str, object] = {"queue": event.queue}
    if event.consumer:
        fields["consumer"] = event.consumer
    if event.id is not None:
        fields["id"] = event.id
        fields["attempt"] = event.attempt
    if event.seconds is not None:
        fields["seconds"] = float(f"{event.seconds:.6f}")
    if event.delay is not None:
        fields["delay"] = float(f"{event.delay:.3f}")
    if event.error is not None:
        fields["error"] = shown(event.error)
    if event.kind != "stopped":
        fields["item"] = shown(event.item)
    return fields


def _named(fields: dict[str, object]) -> dict[str, object]:
    """The same under the names that a record has them by: "id" alone would say nothing there."""
    return {"item_id" if name == "id" else name: value for name, value in fields.items()}


def _quoted(value: object) -> str:
    """A value as the programs that read such lines expect it: in double quotes if it has spaces or the like."""
    text = str(value)
    if text and text.isprintable() and not any(character in text for character in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())
