"""The parts of ``headrace run`` that can be looked at without a process: reading, filling in, describing."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headrace.cli.describe import describe_error, describe_exit, describe_item, encode
from headrace.cli.item import Item
from headrace.cli.nearest import did_you_mean
from headrace.cli.pipe_lines import LineBuffer
from headrace.cli.placeholder import CommandTemplate, ShellTemplate
from headrace.cli.reader import InputError, Reader
from headrace.cli.records import CsvSource, JsonSource
from headrace.cli.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="commands and polls are for POSIX")

items_without_nul = st.binary(max_size=50).map(lambda item: item.replace(b"\0", b""))


def read(pieces: list[bytes], separator: bytes = b"\n", longest_item_bytes: int = 1000) -> list[bytes]:
    """What a reader makes of a pipe into which *pieces* are written one after the other."""
    ours, theirs = os.pipe()

    def write() -> None:
        try:
            for piece in pieces:
                os.write(theirs, piece)
        except BrokenPipeError:
            pass
        finally:
            os.close(theirs)

    writer = threading.Thread(target=write)
    writer.start()
    reader = Reader(ours, separator, longest_item_bytes)
    try:
        found = []
        for block in reader.blocks():
            assert block
            found.extend(block)
        return found
    finally:
        os.close(ours)
        writer.join()
        reader.close()


@given(pieces=st.lists(st.binary(max_size=20)), separator=st.sampled_from([b"\n", b"\0"]))
def test_items_are_what_stands_between_separators(pieces: list[bytes], separator: bytes) -> None:
    whole = b"".join(pieces)
    expected = whole.split(separator)
    if expected[-1] == b"":
        expected.pop()
    assert read(pieces, separator) == expected


def test_items_longer_than_a_read_are_put_together() -> None:
    long = b"x" * 300_000
    assert read([b"a\n", long, long, b"\nb\n", long], longest_item_bytes=1 << 20) == [b"a", long + long, b"b", long]


def test_an_item_that_does_not_end_is_an_error() -> None:
    with pytest.raises(InputError, match="does not end within 1,000 bytes"):
        read([b"a\n", b"x" * 2000])


def test_a_reader_that_waits_can_be_stopped() -> None:
    ours, theirs = os.pipe()
    reader = Reader(ours)
    found: list[list[bytes]] = []
    thread = threading.Thread(target=lambda: found.extend(reader.blocks()))
    thread.start()
    reader.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert found == []
    reader.close()
    os.close(ours)
    os.close(theirs)


def test_a_reader_knows_the_size_of_what_is_left_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345\n12\n")
    with open(tmp_path / "file", "rb", buffering=0) as file:
        file.read(6)
        assert Reader(file.fileno()).size_bytes() == 3
    ours, theirs = os.pipe()
    assert Reader(ours).size_bytes() is None
    os.close(ours)
    os.close(theirs)


@given(words=st.lists(st.binary(max_size=20), min_size=1), item=items_without_nul)
def test_a_command_is_filled_in_as_by_replacing(words: list[bytes], item: bytes) -> None:
    assume(not any(re.search(rb"\{[#./%]+\}", word) for word in words))
    expected = [word.replace(b"{}", item) for word in words]
    if not any(b"{}" in word for word in words):
        expected.append(item)
    assert CommandTemplate(words).fill(Item(item, 1)) == expected


@pytest.mark.parametrize(
    "item", [b"", b"a", b"a b", b"'", b'"$HOME" `id` \\ ; | & * ~ # !', b"\n", b"\xff\xfe", "ü".encode(), b"-n"]
)
def test_the_shell_reads_the_item_as_one_word(item: bytes) -> None:
    words = ShellTemplate([b"printf", b"'<%s>'", b"{}"]).fill(Item(item, 1))
    assert subprocess.run(words, capture_output=True, check=True).stdout == b"<" + item + b">"


def test_an_item_is_described_in_one_line() -> None:
    assert describe_item(b"a b") == "'a b'"
    assert describe_item(b"\xff\n\x1b'") == '"\\xff\\n\\x1b\'"'
    assert describe_item("ü".encode()) == "'ü'"
    assert describe_item(b"x" * 1000) == f"'{'x' * 100}'… (1,000 bytes)"


def test_an_end_is_described_by_its_status_or_signal() -> None:
    assert describe_exit(3) == "exit status 3"
    assert describe_exit(-11) == "killed by SIGSEGV"
    assert describe_exit(-45) == "killed by signal 45"


def test_an_error_is_described_in_one_line() -> None:
    assert describe_error(ValueError("a\nb")) == "ValueError: a b"
    assert describe_error(KeyError()) == "KeyError"


@given(st.binary())
def test_what_was_decoded_is_written_as_it_was(item: bytes) -> None:
    assert encode(os.fsdecode(item)) == item


def test_a_name_is_suggested_only_if_it_is_near() -> None:
    assert did_you_mean("jsn", ["json", "_json", "jinja", "os"]) == " Did you mean 'json'?"
    assert did_you_mean("_jsn", ["json", "_json"]) == " Did you mean '_json' or 'json'?"
    assert did_you_mean("xyz", ["json"]) == ""


# Where lines wait for the commands of --pipe.


@given(
    pieces=st.lists(st.binary(max_size=12).map(lambda piece: piece.replace(b"a", b"\n"))),
    sizes=st.lists(st.integers(min_value=1, max_value=30), min_size=1),
    separator=st.sampled_from([b"\n", b"\0"]),
)
def test_lines_are_cut_off_whole_and_given_back_in_order(
    pieces: list[bytes], sizes: list[int], separator: bytes
) -> None:
    buffer = LineBuffer(separator)
    given: list[bytes] = []
    sizes_again = itertools.cycle(sizes)
    for piece in pieces:
        buffer.add(piece)
        size = next(sizes_again)
        lines = buffer.cut(size)
        assert lines == b"" or lines.endswith(separator)
        assert len(lines) <= size or lines.count(separator) == 1
        if size % 3 == 0:
            buffer.give_back(lines)
        else:
            given.append(lines)
        whole = b"".join(pieces)[sum(map(len, given)) :]
        assert buffer.has_line() == (separator in whole[: len(buffer)])
    buffer.end()
    while lines := buffer.cut(7):
        given.append(lines)
    whole = b"".join(pieces)
    assert b"".join(given) == whole + (separator if whole and not whole.endswith(separator) else b"")
    assert len(buffer) == 0


# Records.

fields = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


@given(rows=st.lists(st.lists(fields, min_size=3, max_size=3), max_size=8), size=st.integers(1, 50))
def test_records_of_csv_are_what_the_standard_library_makes_of_them(rows: list[list[str]], size: int) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([["a", "b", "c"], *rows])
    text = file.getvalue().encode()
    found = items_of(lambda reader: CsvSource(reader), [text[at : at + size] for at in range(0, len(text), size)])
    assert [list((item.fields or {}).values()) for item in found] == rows
    assert [item.number for item in found] == list(range(1, len(rows) + 1))
    # And each item is a record by itself.
    assert [next(csv.reader(io.StringIO(item.line.decode(), newline=""))) for item in found] == rows


@given(objects=st.lists(st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5))))
def test_records_of_json_are_what_the_standard_library_makes_of_them(objects: list[dict[str, object]]) -> None:
    text = "".join(f"{json.dumps(each)}\n" for each in objects).encode()
    found = items_of(lambda reader: JsonSource(reader), [text])
    assert [item.fields for item in found] == objects


def test_records_before_one_that_cannot_be_read_are_handled() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b'a,b\n1,2\n3,4\n"5\n' + b"x" * 3000)
    os.close(theirs)
    blocks = CsvSource(Reader(ours, longest_item_bytes=1000)).blocks()
    assert [item.line for item in next(blocks)] == [b"1,2", b"3,4"]
    with pytest.raises(InputError):
        next(blocks)
    os.close(ours)


def items_of(make: Callable[[Reader], CsvSource | JsonSource], pieces: list[bytes]) -> list[Item]:
    """What a source makes of a pipe into which *pieces* are written one after the other."""
    ours, theirs = os.pipe()
    writer = threading.Thread(target=write_all, args=(theirs, pieces))
    writer.start()
    reader = Reader(ours)
    try:
        return [item for items in make(reader).blocks() for item in items]
    finally:
        writer.join()
        os.close(ours)
        reader.close()


def write_all(fd: int, pieces: list[bytes]) -> None:
    for piece in pieces:
        os.write(fd, piece)
    os.close(fd)


def test_names_come_before_all_other_placeholders() -> None:
    vocabulary = Vocabulary(("1", "a.", "b", "b/", "#"), columns=5)
    item = Item(b"line", 7, {"1": "one", "a.": "x.y", "b": "p/q.r", "b/": "slash", "#": "hash"}, (b"A", b"B"))
    words = [b"{1}", b"{a.}", b"{b/.}", b"{b/}", b"{#}", b"{2}", b"{b//}"]
    assert CommandTemplate(words, vocabulary).fill(item) == [b"one", b"x.y", b"q", b"slash", b"hash", b"B", b"p"]
