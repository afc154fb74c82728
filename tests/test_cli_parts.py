"""The parts of ``headrace run`` that can be looked at without a process: reading, filling in, describing."""

from __future__ import annotations

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
from headrace.cli.placeholder import CommandTemplate, ShellTemplate
from headrace.cli.reader import InputError, Reader

if TYPE_CHECKING:
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
