"""How far a queue object has come in its life."""

from __future__ import annotations

__all__ = ["DRAINING", "ENDED", "OPEN"]

# Puts and takes; takes what is left; does neither.
OPEN, DRAINING, ENDED = range(3)
