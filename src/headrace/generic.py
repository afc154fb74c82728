"""What makes ``Lease[str]`` and ``Producer[int]`` work: for type checkers ``Generic[T]``, without importing typing.

``class Lease(Subscriptable[T])`` is generic in T. Importing typing takes longer than importing all of this package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar

    T = TypeVar("T")

    class Subscriptable(Generic[T]):
        """A class that is generic in T."""

        __slots__ = ()
else:
    from types import GenericAlias

    T = object

    class Subscriptable:
        """A class that may be subscripted."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


__all__ = ["Subscriptable", "T"]
