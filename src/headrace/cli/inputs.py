"""What ``headrace run`` is fed: which items there are, and which placeholders stand for parts of them."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

import click

from headrace.cli.reader import InputError, Reader
from headrace.cli.refusal import Refused
from headrace.cli.vocabulary import PLAIN, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.cli.combine import InputWords
    from headrace.cli.input_options import InputOptions
    from headrace.cli.records import CsvSource
    from headrace.cli.worker import Source

__all__ = ["Inputs"]

STDIN = 0


class Inputs:
    """The items of a run: lines or records of one file, or what was given behind ``:::``.

    Nothing is read when this is made. ``vocabulary`` reads the header of CSV, and ``source`` all inputs but the first.

    Attributes:
        separator: what items end with.
        options: as they were given.
        given: what was given behind ``:::``.
    """

    def __init__(self, path: str, null: bool, options: InputOptions, given: Sequence[InputWords]) -> None:
        self._path = path
        self.separator = b"\0" if null else b"\n"
        self.options = options
        self.given = given
        self._check(null)

    def _check(self, null: bool) -> None:
        options = self.options
        kinds = [name for name in ("csv", "tsv", "jsonl") if getattr(options, name)]
        if len(kinds) > 1:
            raise click.UsageError(f"--{kinds[0]} and --{kinds[1]}: the items are one or the other")
        if kinds and null and kinds != ["jsonl"]:
            raise click.UsageError(f"--{kinds[0]}: records end with a line break, so -0 means nothing")
        if self.given and kinds:
            raise click.UsageError(f"--{kinds[0]} reads records from one input: use --input FILE, and no ::: or ::::")
        if self.given and self._path != "-":
            raise click.UsageError(f"--input {self._path!r}: the items come from ::: and ::::; give it as :::: FILE")
        if [each.path for each in self.given].count("-") > 1:
            raise click.UsageError("standard input can be one input only: there is more than one '-' behind ::::")

    @property
    def fd(self) -> int:
        """The file descriptor of the one input; -1 where there are others."""
        return -1 if self.given else self._fd

    def size_bytes(self) -> int | None:
        """How many bytes there are to read of the one input; None where that cannot be known."""
        reader = Reader(self.fd)
        try:
            return reader.size_bytes()
        finally:
            reader.close()

    @property
    def heading(self) -> bytes:
        """What the input begins with before its items, without a separator."""
        return self._csv.heading if self.options.csv or self.options.tsv else b""

    @property
    def vocabulary(self) -> Vocabulary:
        """The placeholders that the items have values for. Reads the header of CSV, for which it may wait."""
        if self.given:
            return Vocabulary(columns=len(self.given))
        if self.options.csv or self.options.tsv:
            return self._csv.vocabulary
        return Vocabulary(has_own_names=True) if self.options.jsonl else PLAIN

    @cached_property
    def source(self) -> Source:
        """Gives the items. Inputs that are needed again and again are read to their ends, for which it may wait.

        Raises:
            Refused: an input cannot be opened or read.
        """
        if self.given:
            from headrace.cli.combine import CombinedSource

            try:
                return CombinedSource(self.given, self._open_given)
            except InputError as error:
                raise Refused(f"an input cannot be read to its end: {error}") from error
        if self.options.csv or self.options.tsv:
            return self._csv
        if self.options.jsonl:
            from headrace.cli.records import JsonSource

            return JsonSource(Reader(self._fd, self.separator))
        from headrace.cli.item import LineSource

        return LineSource(Reader(self._fd, self.separator))

    @cached_property
    def _csv(self) -> CsvSource:
        from headrace.cli.records import CsvSource

        try:
            return CsvSource(Reader(self._fd), "\t" if self.options.tsv else ",")
        except InputError as error:
            raise Refused(f"the header of the input cannot be read: {error}") from error

    @cached_property
    def _fd(self) -> int:
        return open_input(self._path, "--input")

    def _open_given(self, path: str) -> Reader:
        return Reader(open_input(path, "::::"), self.separator)


def open_input(path: str, told_by: str) -> int:
    """The file descriptor to read the items from."""
    if path == "-":
        if os.isatty(STDIN):
            click.echo("headrace: reading items from the terminal, one a line; Ctrl-D ends them", err=True)
        return STDIN
    try:
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 0)  # or a directory would be noticed only later
    except OSError as error:
        raise Refused(f"{told_by} {path!r}: {error.strerror}") from error
    return fd
