"""How one attempt at an item ended."""

from __future__ import annotations

__all__ = ["Outcome"]


class Outcome:
    """What is known of an attempt when it has ended.

    Attributes:
        failure: why it failed, in words; None when it succeeded.
        code: the exit status, or minus the number of the signal that killed it; 0 or 1 for a call.
        begun: when it was started, in seconds since the epoch.
        seconds: how long it took.
        words: the command, name first; or what was called, and with what.
        over_time: it was ended, or given up, because it took too long.
    """

    __slots__ = ("begun", "code", "failure", "over_time", "seconds", "words")

    def __init__(
        self,
        failure: str | None,
        code: int,
        begun: float,
        seconds: float,
        words: list[bytes],
        *,
        over_time: bool = False,
    ) -> None:
        self.failure = failure
        self.code = code
        self.begun = begun
        self.seconds = seconds
        self.words = words
        self.over_time = over_time
