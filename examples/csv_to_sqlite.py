"""Loads CSV files into an SQLite database, a table for each.

    python csv_to_sqlite.py shop.db customers.csv orders.csv

Several files are read and parsed at a time, and one consumer writes: SQLite has one writer at a time anyway, and with
batches of rows in a transaction it is quick. The queue between is bounded, so that files of any size fit into memory.
"""

import csv
import sqlite3
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import headrace

ROWS = 1000  # in a batch


class Batch(NamedTuple):
    table: str
    columns: list[str]
    rows: list[list[str]]


def batches_of(path):
    """Yield the rows of a file in batches. The first is made even if it is empty: its table is to be there."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        columns = next(reader)
        rows = list(islice(reader, ROWS))
        while True:
            if wrong := [row for row in rows if len(row) != len(columns)]:
                raise ValueError(f"{path}: {len(columns)} columns, but a row is {wrong[0]}")
            yield Batch(Path(path).stem, columns, rows)
            rows = list(islice(reader, ROWS))
            if not rows:
                return


def quoted(name):
    """A name as SQL writes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def load(database, paths):
    """Load the files into *database*; return the rows of each table, and the summary of the run."""
    # Made here and used by the one consumer that writes.
    connection = sqlite3.connect(database, check_same_thread=False)
    loaded = Counter()

    def store(batch):
        table, columns = quoted(batch.table), ", ".join(map(quoted, batch.columns))
        marks = ", ".join("?" * len(batch.columns))
        with connection:  # a transaction: all rows of the batch, or none
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", batch.rows)
        loaded[batch.table] += len(batch.rows)

    try:
        summary = headrace.Pipeline(paths).stage(batches_of, consumers=3).sink(store, maxsize=10).run()
    finally:
        connection.close()
    return loaded, summary


if __name__ == "__main__":
    loaded, summary = load(sys.argv[1], sys.argv[2:])
    for table, rows in sorted(loaded.items()):
        print(f"{table}: {rows:,} rows")
    print(summary)
