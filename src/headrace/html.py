"""How Headrace's objects show themselves in a notebook: small tables, without styles of their own."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Markup", "meter", "table"]


class Markup(str):
    """Text that is HTML already. It is not escaped again."""

    __slots__ = ()


def table(title: str, rows: Iterable[Sequence[object]], header: Sequence[object] = ()) -> str:
    """An HTML table.

    Args:
        title: its caption.
        rows: of cells each; the first cell of a row says what the others are. Numbers are aligned to the right and
            have their thousands separated, None is an empty cell, and the rest is shown by ``str``, escaped.
        header: what the columns are, if that has to be said.
    """
    head = f"<thead><tr>{''.join(_cell('th', cell) for cell in header)}</tr></thead>" if header else ""
    body = "".join(
        f"<tr>{_cell('th', row[0])}{''.join(_cell('td', cell) for cell in row[1:])}</tr>" for row in map(tuple, rows)
    )
    return f"<table><caption>{_escaped(title)}</caption>{head}<tbody>{body}</tbody></table>"


def meter(value: int, most: int) -> Markup:
    """A bar that shows how full something is, with the numbers beside it."""
    return Markup(f'<meter min="0" max="{most}" value="{value}"></meter> {value:,} of {most:,}')


def _cell(tag: str, value: object) -> str:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    side = "right" if number else "left"
    return f'<{tag} style="text-align: {side}">{_shown(value)}</{tag}>'


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    """As html.escape, whose module brings a table of all entities with it."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(character, entity)
    return text
