"""What a queue file is opened with."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    class _Fields(NamedTuple):
        queue: str = "default"
        durability: str = "power"
        serializer: str = "msgpack"
        type: Any = None
        lease: float = 30.0
        maxsize: int | None = None
        max_deliveries: int | None = None
        keep_dead: float | None = None
        keep_done: float | None = None

else:
    # typing costs several milliseconds at import; a namedtuple is the same record.
    _Fields = namedtuple(
        "_Fields",
        "queue durability serializer type lease maxsize max_deliveries keep_dead keep_done",
        defaults=("default", "power", "msgpack", None, 30.0, None, None, None, None),
    )

__all__ = ["DURABILITIES", "Settings"]

DURABILITIES = ("power", "process", "none")


class Settings(_Fields):
    """Options of ``headrace.open`` for a file. Those that are None are as the file has them."""

    __slots__ = ()

    def check(self) -> None:
        """Raise TypeError or ValueError where one is not what it should be."""
        if not isinstance(self.queue, str) or not self.queue:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"'queue' must be the name of a queue in the file, not {self.queue!r}")
        try:
            self.queue.encode()
        except UnicodeEncodeError:
            raise ValueError(f"'queue' must be a name that UTF-8 has a form of, not {self.queue!r}") from None
        if self.durability not in DURABILITIES:
            raise ValueError(f"'durability' must be 'power', 'process' or 'none', not {self.durability!r}")
        for name in ("maxsize", "max_deliveries"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise TypeError(f"{name!r} must be a whole number, not {type(value).__name__}: {value!r}")
            if value is not None and abs(value) >= 2**63:
                raise ValueError(f"{name!r} must be below 2**63, not {value!r}")
        if self.max_deliveries is not None and self.max_deliveries < 0:
            raise ValueError(f"'max_deliveries' must be 0 (no limit) or more, not {self.max_deliveries!r}")
        for name, least in (("lease", 0.1), ("keep_dead", 0.0), ("keep_done", 0.0)):
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise TypeError(f"{name!r} must be a number of seconds, not {type(value).__name__}: {value!r}")
            if not least <= value < 1e9:
                raise ValueError(f"{name!r} must be at least {least:g} seconds, not {value!r}")

    def of_the_queue(self) -> dict[str, int]:
        """Those that are kept in the file, as it has them."""
        kept: dict[str, int] = {}
        if self.maxsize is not None:
            kept["maxsize"] = self.maxsize
        if self.max_deliveries is not None:
            kept["max_deliveries"] = self.max_deliveries
        if self.keep_dead is not None:
            kept["keep_dead"] = int(self.keep_dead * 1e6)
        if self.keep_done is not None:
            kept["keep_done"] = int(self.keep_done * 1e6)
        return kept
