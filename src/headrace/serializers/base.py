"""What every serializer is, and how each one says no."""

from __future__ import annotations

from abc import ABC, abstractmethod
from reprlib import Repr

from headrace.errors import EncodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Serializer", "checkable", "refusal", "shortened", "type_name"]


class Serializer(ABC):
    """Turns items into bytes and back. Any number of threads may use one; it neither blocks nor keeps an item.

    Attributes:
        name: what ``serializer=`` calls it.
        code: what is stored beside each item, so that it can be read by queues that are opened with another one.
    """

    __slots__ = ()

    name: str
    code: int

    @abstractmethod
    def encode(self, item: Any) -> bytes:
        """*item* as bytes. Raises ``EncodeError``, which names the type and the remedy, when it has no form."""

    @abstractmethod
    def decode(self, body: bytes) -> Any:
        """The item that *body* holds. Raises ``DecodeError`` with the reason when it holds none."""


def refusal(format: str, item: object, remedy: str) -> EncodeError:
    """Make the error for an *item*, or a part of one, that a *format* has no form for."""
    return EncodeError(f"{format} has no form for {type_name(type(item))}, here {shortened(item)}; {remedy}")


def type_name(type: Any) -> str:
    """Give the name of a class with its module, and anything else as it shows itself."""
    if not isinstance(type, _class):
        return shortened(type)
    return type.__qualname__ if type.__module__ == "builtins" else f"{type.__module__}.{type.__qualname__}"


_class = type


def shortened(item: object) -> str:
    """Give the repr of *item* in at most some sixty characters, whatever its ``__repr__`` does."""
    try:
        text = _Short().repr(item)
    except Exception:  # an int of more digits than Python likes to write, or a __repr__ that fails
        return f"<{type(item).__qualname__} object>"
    return text if len(text) <= 200 else f"{text[:98]}...{text[-98:]}"


class _Short(Repr):
    """As reprlib's, but it does not write out four gigabytes of bytes to show sixty."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlevel = 3

    def repr_bytes(self, item: bytes | bytearray, level: int) -> str:
        return repr(item) if len(item) <= 60 else f"{item[:40]!r}... ({len(item)} bytes)"

    repr_bytearray = repr_bytes


def checkable(type: Any) -> bool:
    """Whether ``isinstance(item, type)`` says all there is to say: for plain classes, not for ``list[int]``."""
    if not isinstance(type, _class):
        return False
    try:
        isinstance(None, type)
    except TypeError:  # a TypedDict, a Protocol, typing.Any
        return False
    return True
