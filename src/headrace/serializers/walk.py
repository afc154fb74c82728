"""What goes through an item before it is encoded: plain parts stay, others are put in a form that remembers their type.

msgspec is fast because it takes tuples, sets, datetimes and enums for the nearest thing that the format has, without
asking. They would come back as lists and strings. So the type of each part is looked at here first; ``encode`` spares
that where it can see by itself that an item is plain.
"""

from __future__ import annotations

import dataclasses
import enum

import msgspec

from headrace.errors import EncodeError
from headrace.serializers.base import refusal, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["DEPTH", "Walk", "attribute_names", "fields_of", "is_record"]

# How deep an item may be nested. An item that was put must be readable by a consumer that has less of the stack left
# than its producer had, so the limit is not where the stack ends: on Python 3.11 a level takes some four of 1,000
# frames.
DEPTH = 100


class Walk:
    """The forms of one format.

    ``plain`` has the exact types that the encoder takes as they are; ``forms`` a function for each of the others,
    called with (part, walk, depth left).
    """

    __slots__ = ("format", "forms", "others", "plain")

    def __init__(
        self,
        format: str,
        plain: frozenset[type],
        forms: dict[type, Callable[[Any, Walk, int], Any]],
        others: Callable[[Any, Walk, int], Any] | None = None,
    ) -> None:
        self.format = format
        self.plain = plain
        self.forms = forms
        self.others = others

    def form(self, part: object, depth: int = DEPTH) -> Any:
        """Give what stands for *part*: itself if the encoder may have it as it is.

        Raises:
            EncodeError: it, or something in it, has no form, or it is nested too deeply.
        """
        kind = type(part)
        if kind in self.plain:
            return part
        form = self.forms.get(kind)
        if form is not None:
            return form(part, self, depth)
        if is_record(part):
            return self._record(part, depth)
        if self.others is not None:
            return self.others(part, self, depth)
        raise self.refusal(part)

    def each(self, parts: Any, depth: int) -> list[Any]:
        """Give the forms of all *parts* of a container that has *depth* levels left, its own included."""
        if depth <= 0:
            raise too_deep()
        plain = self.plain
        return [part if type(part) in plain else self.form(part, depth - 1) for part in parts]

    def values(self, part: dict[Any, Any], depth: int) -> dict[Any, Any]:
        """Give a dict with the forms of the values, for a dict whose keys the encoder takes as they are."""
        if depth <= 0:
            raise too_deep()
        plain = self.plain
        return {key: value if type(value) in plain else self.form(value, depth - 1) for key, value in part.items()}

    def _record(self, part: Any, depth: int) -> Any:
        fields = dict(fields_of(part))
        config = getattr(part, "__struct_config__", None)
        if config is not None and config.array_like:
            return self.form([*([config.tag] if config.tag is not None else []), *fields.values()], depth)
        if config is not None and config.tag is not None:
            fields = {config.tag_field: config.tag, **fields}
        return self.form(fields, depth)

    def refusal(self, part: object) -> EncodeError:
        """Make the error for a *part* that has no form."""
        return refusal(self.format, part, _remedy(part))


def too_deep() -> EncodeError:
    """Make the error for an item of too many levels."""
    return EncodeError(
        f"the item is nested more than {DEPTH} levels deep, or contains itself; put it in a flatter form, or open the "
        f"queue with serializer='pickle'"
    )


def is_record(part: object) -> bool:
    """Whether *part* is an object with named fields: a dataclass, a Struct, an attrs class, and no container."""
    kind: Any = type(part)  # pyright: ignore[reportUnknownVariableType]
    return (
        hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__struct_fields__") or hasattr(kind, "__attrs_attrs__")
    ) and not issubclass(kind, _BUILT_IN)


_BUILT_IN = (int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset, dict, enum.Enum)


def fields_of(part: Any) -> Iterator[tuple[str, Any]]:
    """Give the fields of a record that are set, by the names that msgspec writes for them."""
    kind: Any = type(part)  # pyright: ignore[reportUnknownVariableType]
    written = getattr(kind, "__struct_encode_fields__", None) or attribute_names(part)
    for name, attribute in zip(written, attribute_names(part), strict=True):
        value = getattr(part, attribute, msgspec.UNSET)
        if value is not msgspec.UNSET:
            yield name, value


def attribute_names(part: Any) -> tuple[str, ...]:
    """Give the names of a record's fields."""
    kind: Any = type(part)  # pyright: ignore[reportUnknownVariableType]
    if hasattr(kind, "__struct_fields__"):
        names: tuple[str, ...] = kind.__struct_fields__
        return names
    if hasattr(kind, "__dataclass_fields__"):
        return tuple(field.name for field in dataclasses.fields(part))
    return tuple(attribute.name for attribute in kind.__attrs_attrs__)


def _remedy(part: Any) -> str:
    kind: Any = type(part)  # pyright: ignore[reportUnknownVariableType]
    if issubclass(kind, enum.Enum):
        return "put its .value, or open the queue with type= a class that has such a field, or with serializer='pickle'"
    for base in _BUILT_IN:
        if issubclass(kind, base) and kind is not base:
            return (
                f"it would come back as {base.__name__}: put {base.__name__}(item) if that will do, "
                f"or open the queue with serializer='pickle'"
            )
    if kind is memoryview:
        return "put bytes(item)"
    if callable(part):
        return f"put its name and arguments, or open the queue with serializer='cloudpickle' (not {type_name(kind)})"
    return (
        "put the data that it is made of, or open the queue with serializer='pickle', which keeps any object and runs "
        "code when it is read"
    )
