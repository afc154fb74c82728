"""What becomes of an item's output when the item has ended: it is written, with a tag perhaps, in its turn perhaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from headrace.cli.item import Item
    from headrace.cli.order import Order
    from headrace.cli.output import Output

    Piece = tuple[int, bytes]

    class Write(Protocol):
        """Writes all pieces (where each goes, what it is), then the note, with nothing of another item in between."""

        def __call__(self, pieces: Iterable[Piece], note: str | None, /) -> None:
            """Write them. Blocks while a reader is slow. Raises ``OutputLost``."""
            ...


__all__ = ["Delivery", "write_whole"]


class Delivery:
    """Says how output is delivered: how every kind of step does it.

    Args:
        tag: begin every line with its item.
        order: who sees to it that the items' turns come in the order of the input; None for as they end.
        is_recorded: someone will ask how each attempt ended.
    """

    def __init__(self, *, tag: bool = False, order: Order | None = None, is_recorded: bool = False) -> None:
        self.is_recorded = is_recorded
        self._tag = tag
        self.order = order
        self.is_plain = not tag and order is None

    def deliver(self, item: Item, pieces: Iterable[Piece], note: str | None, write: Write) -> None:
        """Write what *item* gave, now or in its turn. Blocks while a reader is slow. Raises ``OutputLost``."""
        if self._tag:
            pieces = tagged(item, pieces)
        if self.order is None:
            write(pieces, note)
        else:
            self.order.deliver(item.number, pieces, note, write)


def tagged(item: Item, pieces: Iterable[Piece]) -> Iterator[Piece]:
    """*pieces* with the item and a tab at the beginning of each line."""
    tag = b" ".join(item.arguments) + b"\t"
    after_break = b"\n" + tag
    begins_line: dict[int, bool] = {}
    for place, data in pieces:
        if not data:
            continue
        lines = data[:-1].replace(b"\n", after_break) + data[-1:]
        yield place, (tag if begins_line.get(place, True) else b"") + lines
        begins_line[place] = data.endswith(b"\n")


def write_whole(output: Output, pieces: Iterable[Piece], note: str | None) -> None:
    """Write all of it in one turn. Blocks while a reader is slow. Raises ``OutputLost``."""
    with output.turn():
        for place, data in pieces:
            output.write(place, data)
        if note is not None:
            output.note(note)
