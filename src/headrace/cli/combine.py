"""Several inputs, as GNU parallel has them: ``::: a b :::: file``, each value of one with each of the others."""

from __future__ import annotations

import os
from itertools import chain, count, product, repeat
from typing import TYPE_CHECKING, NamedTuple

from headrace.cli.item import Item
from headrace.cli.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from headrace.cli.reader import Reader

    Values = tuple[bytes, ...]

__all__ = ["CombinedSource", "InputWords", "split_words"]

MARKS = (":::", ":::+", "::::", "::::+")
MOST_ITEMS_AT_ONCE = 1000


class InputWords(NamedTuple):
    """One input, as it was given on the command line.

    Attributes:
        values: themselves; None where they are the lines of a file.
        path: of that file.
        is_linked: whether it goes along with the input before it, and is not combined with it.
    """

    values: tuple[bytes, ...] | None
    path: str
    is_linked: bool


def split_words(words: Sequence[str]) -> tuple[tuple[str, ...], list[InputWords]]:
    """The words of the command, and the inputs behind it."""
    places = [place for place, word in enumerate(words) if word in MARKS]
    if not places:
        return tuple(words), []
    inputs: list[InputWords] = []
    for begin, end in zip(places, [*places[1:], len(words)], strict=True):
        mark, given = words[begin], words[begin + 1 : end]
        is_linked = mark.endswith("+")
        if mark.startswith("::::"):
            # Each file is an input of its own.
            inputs += [InputWords(None, path, is_linked) for path in given]
        else:
            inputs.append(InputWords(tuple(map(os.fsencode, given)), "", is_linked))
    return tuple(words[: places[0]]), inputs


class CombinedSource:
    """Every combination of the values of several inputs, the last one changing fastest.

    Inputs that are linked go along with each other, to the end of the shortest. The first one may be endless: it is
    read as it comes. The others are needed again and again, so they are read to their ends when this is made.

    Args:
        inputs: at least one.
        open_reader: opens the file of a path.

    Raises:
        InputError: an input could not be read.
    """

    def __init__(self, inputs: Sequence[InputWords], open_reader: Callable[[str], Reader]) -> None:
        self.vocabulary = Vocabulary(columns=len(inputs))
        self._readers: list[Reader] = []
        groups: list[list[InputWords]] = []
        for each in inputs:
            if each.is_linked and groups:
                groups[-1].append(each)
            else:
                groups.append([each])
        first = [self._stream(each, open_reader) for each in groups[0]]
        # Where both change at once, the first to end ends the group.
        self._first, self._others_linked = first[0], [flattened(blocks) for blocks in first[1:]]
        self._rest = [list(self._linked(group, open_reader)) for group in groups[1:]]
        self._all_given = all(each.values is not None for each in groups[0])
        self._first_group = groups[0]

    def _stream(self, each: InputWords, open_reader: Callable[[str], Reader]) -> Iterator[Sequence[bytes]]:
        if each.values is not None:
            return iter([each.values])
        reader = open_reader(each.path)
        self._readers.append(reader)
        return iter(reader.blocks())

    def _linked(self, group: Sequence[InputWords], open_reader: Callable[[str], Reader]) -> Iterable[Values]:
        return zip(*[flattened(self._stream(each, open_reader)) for each in group], strict=False)

    def stop(self) -> None:
        """End the iteration, at once even if it waits for input. May be called from any thread, and again."""
        for reader in self._readers:
            reader.stop()

    def size_bytes(self) -> int | None:
        """How many bytes all items have, with a separator each; None where that cannot be known."""
        if not self._all_given:
            return None
        groups = [list(zip(*[each.values or () for each in self._first_group], strict=False)), *self._rest]
        items = 1
        for group in groups:
            items *= len(group)
        # A value is in as many items as there are combinations of the other groups; and each has one separator.
        return sum(
            (sum(map(len, values)) + len(values)) * (items // len(group)) for group in groups for values in group
        )

    def blocks(self) -> Iterator[list[Item]]:
        """The items, as many at a time as came at once; never an empty list. Waits for input. Raises ``InputError``."""
        numbers = count(1)
        for firsts in self._first_values():
            items: list[Item] = []
            for values in chain.from_iterable(product([first], *self._rest) for first in firsts):
                arguments = tuple(chain.from_iterable(values))
                items.append(Item(b" ".join(arguments), next(numbers), None, arguments))
                if len(items) == MOST_ITEMS_AT_ONCE:
                    yield items
                    items = []
            if items:
                yield items

    def _first_values(self) -> Iterator[list[Values]]:
        """The values of the first input with what is linked to it, as many at a time as came at once."""
        for block in self._first:
            values: list[Values] = []
            for value in block:
                linked = [each for each in map(next, self._others_linked, repeat(None)) if each is not None]
                if len(linked) < len(self._others_linked):
                    yield values
                    return
                values.append((value, *linked))
            yield values


def flattened(blocks: Iterable[Sequence[bytes]]) -> Iterator[bytes]:
    """The values one by one."""
    for block in blocks:
        yield from block
