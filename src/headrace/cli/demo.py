"""``headrace demo``: the textbook run, one producer and some consumers, which ends by itself."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import click

from headrace import Queue
from headrace.cli.joining import join
from headrace.consumers import Consumer, ConsumerSummary, Producer, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["command"]

SMALLEST, LARGEST = 1, 100
LONGEST_DELAY = 86400.0


class Item(NamedTuple):
    """A number, and the event that the producer's line about it has been written."""

    number: int
    announced: threading.Event


class Numbers(Producer[Item]):
    """Puts random numbers into the queue, and says so."""

    def __init__(self, queue: Queue[Item], items: int, delay: float, seed: int | None) -> None:
        super().__init__(queue)
        self._items = items
        self._delay = delay
        self._random = random.Random(seed)

    def produce(self) -> Iterator[Item]:
        """Yield the items. What stands after a ``yield`` happens when the item is in the queue."""
        for position in range(self._items):
            if position:
                time.sleep(self._delay)
            item = Item(self._random.randint(SMALLEST, LARGEST), threading.Event())
            yield item
            try:
                say(f"Producer notify: item number {item.number} appended to queue by {self.name}")
            finally:
                item.announced.set()


class Reporter(Consumer[Item]):
    """Takes numbers out of the queue, and says so."""

    def __init__(self, queue: Queue[Item]) -> None:
        super().__init__(queue)
        self.count = 0

    def consume(self, item: Item) -> None:
        """Report *item*."""
        # A consumer can be faster than the producer's line. The story is to be told in order.
        item.announced.wait()
        say(f"Consumer notify: {item.number} popped from queue by {self.name}")
        self.count += 1


def say(line: str) -> None:
    """Print *line* with a single write: lines of several threads cannot get into each other."""
    os.write(1, f"{line}\n".encode())


@click.command(name="demo", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--items", type=click.IntRange(min=0), default=10, metavar="N", help="Items to produce. [default: 10]")
@click.option("--consumers", type=click.IntRange(min=1), default=3, metavar="N", help="Consumers. [default: 3]")
@click.option(
    "--delay",
    type=click.FloatRange(min=0, max=LONGEST_DELAY),
    default=1.0,
    metavar="SECONDS",
    help="From one item to the next. [default: 1.0]",
)
@click.option(
    "--maxsize",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="How many items may wait in the queue. [default: 0, any number]",
)
@click.option("--seed", type=int, metavar="N", help="Produce the same numbers each time.")
def command(items: int, consumers: int, delay: float, maxsize: int, seed: int | None) -> None:
    """Show a queue at work: a producer appends items to it, consumers pop them, and it ends."""
    if math.isnan(delay):  # which is in no range, and so in every one for click
        raise click.BadParameter("write a number of seconds", param_hint="--delay")
    queue: Queue[Item] = Queue(maxsize)
    producer = Numbers(queue, items, delay, seed)
    reporters = [Reporter(queue) for _ in range(consumers)]
    begun = time.perf_counter()
    # Ctrl-C needs no care here: the process has a handler by now that ends it, and every line is written at once.
    _run_all([*reporters, producer])
    counts = tuple(ConsumerSummary(reporter.name, reporter.count) for reporter in reporters)
    say(f"Summary: {Summary(items, 0, time.perf_counter() - begun, counts)}")


def _run_all(threads: list[threading.Thread]) -> None:
    """Start *threads* and wait for their end. Raises what the first of them raised."""
    for thread in threads:
        thread.start()
    failures: list[OSError] = []
    for thread in threads:
        try:
            join(thread)
        except OSError as error:  # a broken pipe: each of them meets it
            failures.append(error)
    if failures:
        raise failures[0]
