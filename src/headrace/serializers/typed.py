"""Items of one type: checked when they are put and when they are taken.

msgspec checks what it decodes, not what it encodes. So a put decodes what it has just encoded and compares: a wrong
type anywhere in the item either fails there or comes back as something else. That is one encoding and one decoding, and
it is a promise: what was put can be taken.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import DecodeError, EncodeError
from headrace.serializers.base import Serializer, checkable, shortened, type_name
from headrace.serializers.walk import attribute_names, is_record

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Typed", "difference"]


class Typed(Serializer):
    """A serializer for items of one type, over the one for any.

    What the type says nothing of (a field that is ``Any``), and what msgspec's own form cannot hold (an int beyond 64
    bits), is written as the queue without a type does. Each reads what the other wrote.
    """

    __slots__ = ("_class", "_pack", "_type", "_unpack", "_untyped", "code", "name")

    def __init__(
        self, untyped: Serializer, type: Any, pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any]
    ) -> None:
        self.name = untyped.name
        self.code = untyped.code
        self._untyped = untyped
        self._type = type
        # For the message only; a float takes an int too.
        self._class = type if checkable(type) and type is not float else None
        self._pack = pack
        self._unpack = unpack

    def encode(self, item: Any) -> bytes:
        """See ``Serializer``. Raises ``EncodeError`` also for an item that is not of the type, wherever in it."""
        if self._class is not None and not isinstance(item, self._class):
            raise self._refusal(item, f"{type_name(type(item))}, here {shortened(item)}")
        try:
            body = self._pack(item)
            reason = self._unlike(item, self._unpack(body))
        except MemoryError:
            raise
        except Exception as error:
            reason = str(error)
        else:
            if reason is None:
                return body
        return self._as_untyped(item, reason)

    def _as_untyped(self, item: Any, reason: str) -> bytes:
        """Encode what has no form of its type's own, or refuse it for the *reason* that was found first."""
        try:
            body = self._untyped.encode(item)
            if self._unlike(item, self.decode(body)) is None:
                return body
        except (EncodeError, DecodeError):
            pass
        raise self._refusal(item, f"{shortened(item)}: {reason}")

    def decode(self, body: bytes) -> Any:
        """See ``Serializer``. Runs the ``__post_init__`` of the type, if it has one, and no other code."""
        try:
            return self._unpack(body)
        except MemoryError:
            raise
        except Exception as error:
            reason = error
        item = self._untyped.decode(body)  # says it if the body cannot be read at all
        try:
            return msgspec.convert(item, self._type, dec_hook=self.as_it_is)
        except MemoryError:
            raise
        except Exception:
            raise DecodeError(f"the body holds no {type_name(self._type)}: {reason}") from reason

    def _unlike(self, item: Any, got: Any) -> str | None:
        try:
            if type(item) is type(got) and got == item:
                return None
        except Exception:  # an array has no truth; some classes compare badly
            pass
        return difference(item, got, "the item")

    def _refusal(self, item: object, what: str) -> EncodeError:
        return EncodeError(
            f"a queue of {type_name(self._type)} does not take {what}; put what the type says, "
            f"or open the queue without type="
        )

    @staticmethod
    def as_it_is(kind: Any, value: Any) -> Any:
        """Take a value of a class that msgspec does not know, if it is one already."""
        if isinstance(value, kind):
            return value
        raise TypeError(f"expected {type_name(kind)}, got {type_name(type(value))}")


def difference(item: Any, got: Any, where: str) -> str | None:
    """Say where *got* is not what *item* was, or None. A NaN is a NaN, and an int may come back as an equal float."""
    kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType]
    if kind is type(got):
        if kind in (list, tuple):
            return _of_parts(
                where, len(item), len(got), ((f"[{n}]", *pair) for n, pair in enumerate(zip(item, got, strict=False)))
            )
        if kind is dict:
            return _of_parts(
                where, item.keys(), got.keys(), ((f"[{shortened(key)}]", item[key], got[key]) for key in item)
            )
        if is_record(item):
            names = attribute_names(item)
            return _of_parts(
                where, kind, kind, ((f".{n}", getattr(item, n, None), getattr(got, n, None)) for n in names)
            )
    try:
        if kind is type(got) and (_same_array(item, got) or bool(item != item and got != got)):
            return None
        if not issubclass(kind, (list, tuple, dict)) and bool(item == got):
            return None
    except Exception:
        pass
    return (
        f"{where} is {shortened(item)} ({type_name(kind)}) and would come back as "
        f"{shortened(got)} ({type_name(type(got))})"
    )


def _of_parts(where: str, sizes: object, got_sizes: object, pairs: Any) -> str | None:
    if sizes != got_sizes:
        return f"{where} would come back with other members"
    for name, item, got in pairs:
        found = difference(item, got, where + name)
        if found is not None:
            return found
    return None


def _same_array(item: Any, got: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None or type(item) is not numpy.ndarray:
        return False
    return bool(item.dtype == got.dtype and item.shape == got.shape and item.tobytes() == got.tobytes())
