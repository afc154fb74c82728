"""What was perhaps meant by a name that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["did_you_mean"]

MOST_SUGGESTIONS = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: ``" Did you mean 'run'?"``, or ``""`` when nothing is near *name*."""
    from difflib import get_close_matches  # slow to import, and only a mistake needs it

    # A private name is meant only where one was written.
    candidates = {each for each in known if not each.startswith("_") or name.startswith("_")}
    near = get_close_matches(name, sorted(candidates), n=MOST_SUGGESTIONS)
    if not near:
        return ""
    return f" Did you mean {' or '.join(map(repr, near))}?"
