"""``headrace demo``: the textbook run, which ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import pytest

from cli_support import headrace, running

PUT = re.compile(rb"Producer notify: item number (\d+) appended to queue by (Producer-1)")
GOT = re.compile(rb"Consumer notify: (\d+) popped from queue by (Consumer-\d+)")


def story(output: bytes) -> tuple[list[bytes], list[tuple[str, int, str]]]:
    """The lines that are not about an item, and what happened: ("put" or "got", number, by whom)."""
    others, happened = [], []
    for line in output.splitlines():
        if found := PUT.fullmatch(line):
            happened.append(("put", int(found[1]), found[2].decode()))
        elif found := GOT.fullmatch(line):
            happened.append(("got", int(found[1]), found[2].decode()))
        else:
            others.append(line)
    return others, happened


@pytest.mark.parametrize(
    ("options", "items", "consumers"),
    [
        ([], 10, 3),
        (["--maxsize", "1"], 10, 3),
        (["--items", "500", "--consumers", "8"], 500, 8),
        (["--items", "500", "--consumers", "1", "--maxsize", "2"], 500, 1),
        (["--items", "0"], 0, 3),
    ],
)
def test_every_item_is_put_and_then_got_and_it_ends(options: list[str], items: int, consumers: int) -> None:
    done = headrace("demo", "--delay", "0", *options)
    assert (done.returncode, done.stderr) == (0, b"")
    others, happened = story(done.stdout)
    assert len(happened) == 2 * items
    waiting: list[int] = []
    for what, number, _ in happened:
        assert 1 <= number <= 100
        if what == "put":
            waiting.append(number)
        else:
            waiting.remove(number)  # fails unless it was put before
    assert waiting == []
    assert {who for what, _, who in happened if what == "got"} <= {f"Consumer-{n + 1}" for n in range(consumers)}
    assert len(others) == 1
    assert done.stdout.splitlines()[-1] == others[0]
    assert others[0].startswith(b"Summary: %d items in " % items)


def test_the_same_seed_gives_the_same_numbers() -> None:
    def numbers(seed: str) -> list[int]:
        _, happened = story(headrace("demo", "--delay", "0", "--seed", seed).stdout)
        return [number for what, number, _ in happened if what == "put"]

    assert numbers("1") == numbers("1")
    assert numbers("1") != numbers("2")


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_it_quietly_while_it_waits() -> None:
    with running("demo", "--delay", "1000") as run:
        assert run.process.stdout is not None
        assert run.process.stdout.readline()
        run.send(signal.SIGINT)
        status, out, error = run.end()
    assert (status, error) == (130, b"")
    assert b"Traceback" not in out


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_it_ends_quietly_when_nobody_reads_on() -> None:
    with running("demo", "--delay", "0", "--items", "100000") as run:
        assert run.process.stdout is not None
        assert run.process.stdout.readline()
        run.process.stdout.close()
        assert run.process.stderr is not None
        assert run.process.stderr.read() == b""
        assert run.process.wait(30) == 141


def test_lines_are_whole_in_a_pipe_that_several_write_to() -> None:
    with running("demo", "--delay", "0", "--items", "2000", "--consumers", "16", stderr=subprocess.STDOUT) as run:
        status, out, _ = run.end()
    others, happened = story(out)
    assert status == 0
    assert (len(others), len(happened)) == (1, 4000)
