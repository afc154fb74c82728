"""``--results``: what each item gave, kept in files of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from headrace.cli.output import STDERR, STDOUT
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from headrace.cli.item import Item
    from headrace.cli.outcome import Outcome
    from headrace.cli.settling import Printed

__all__ = ["ResultFolder"]


class ResultFolder:
    """Makes a folder for each item that ended, named by its number, with the files stdout, stderr, item and status.

    By its number, for an item may have slashes in it, be longer than a name can be, or come twice.

    Raises:
        Refused: the folder cannot be made, or something is in it, which would be taken for results of this run.
    """

    def __init__(self, path: str) -> None:
        self.name = f"--results {path!r}"
        self._path = path
        try:
            os.makedirs(path, exist_ok=True)
            if os.listdir(path):
                raise Refused(f"{self.name}: there is something in it already. Name a new folder, or an empty one")
        except OSError as error:
            raise Refused(f"{self.name}: {error.strerror}") from error

    def record(self, item: Item, outcome: Outcome, printed: Printed | None) -> None:
        """Write the files of *item*. Raises ``OSError``."""
        folder = os.path.join(self._path, str(item.number))
        os.mkdir(folder)
        _write(folder, "item", item.line)
        with ExitStack() as opened:
            files = {
                place: opened.enter_context(open(os.path.join(folder, name), "wb"))
                for place, name in ((STDOUT, "stdout"), (STDERR, "stderr"))
            }
            for place, data in () if printed is None else printed.pieces():
                files[place].write(data)
        # Last: where there is a status, the rest is whole.
        _write(folder, "status", f"{'over time' if outcome.over_time else outcome.code}\n".encode())


def _write(folder: str, name: str, data: bytes) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)
