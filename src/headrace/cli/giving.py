"""What a function of ``headrace run --call`` is called with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.cli.describe import ENCODING

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.cli.item import Item
    from headrace.cli.vocabulary import Vocabulary

__all__ = ["Giving", "GivingValues"]


class Giving:
    """What a function is called with: the item as a string, its fields as a dictionary, or a string for each input.

    Attributes:
        count: how many arguments there are.
        arguments: makes them out of an item. Raises ``Refused`` for one that is no record.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.count = 1
        self.arguments: Callable[[Item], tuple[Any, ...]] = _as_text
        if vocabulary.names is not None or vocabulary.has_own_names:
            self.arguments = _as_dictionary
        elif vocabulary.columns > 1:
            self.count = vocabulary.columns
            self.arguments = _as_texts


class GivingValues(Giving):
    """The item as it was put into a queue, whatever it is."""

    def __init__(self) -> None:
        self.count = 1
        self.arguments = _as_value


def _as_value(item: Item) -> tuple[Any]:
    return (getattr(item, "value", None),)


def _as_text(item: Item) -> tuple[str]:
    return (item.line.decode(ENCODING, "surrogateescape"),)


def _as_texts(item: Item) -> tuple[str, ...]:
    return tuple([value.decode(ENCODING, "surrogateescape") for value in item.arguments])


def _as_dictionary(item: Item) -> tuple[dict[str, Any]]:
    # One of its own, which the function may change.
    return (dict(item.fields or {}),)
