"""The logger of this package, for what it has to say where nobody can be told by an exception."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger

__all__ = ["log"]


def log() -> Logger:
    """The logger "headrace". Seldom needed, and logging is slow to import: so that is done here, when it is."""
    import logging

    return logging.getLogger("headrace")
