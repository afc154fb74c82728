"""``headrace check``: whether a queue file is whole, and what it lies on."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import status
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import file_of, look_at
from headrace.cli.queue_shown import count, plain, size
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from headrace.backends.sqlite.overview import Overview

__all__ = ["command"]

EPILOG = """\b
Examples:
  headrace check jobs.db
  headrace check jobs.db --json

\b
Exit status:
  0  the file is whole, and its counters are right
  1  it is not; a line says what
  2  the command line was refused; there is no such file
"""


@queue_command("check", EPILOG)
@url_argument
@click.option("--json", "is_json", is_flag=True, help="Print JSON in place of lines.")
def command(url: str, is_json: bool) -> int:
    """Check the file of the queue at URL: its integrity, its counters against what is in it; and tell of its versions.

    All of the file is read. Others may use it meanwhile, and nothing is changed in it.
    """
    place = file_of(url, "check")
    found: dict[str, Any] = {"path": place.path}
    problems: list[str] = []
    if not os.path.exists(place.path):
        look_at(place)  # which says so
    try:
        with look_at(place) as look:
            found.update(_circumstances(look))
            problems = _problems(look)
    except Refused as error:
        problems = [error.message]
    found["problems"] = problems
    if is_json:
        click.echo(json.dumps(found))
    else:
        _print(found)
    return status.FAILED if problems else status.DONE


def _problems(look: Overview) -> list[str]:
    from headrace.backends.sqlite.checking import problems
    from headrace.errors import StorageError

    try:
        with look.explaining():
            return problems(look.connection)
    except StorageError as error:
        return [str(error)]


def _circumstances(look: Overview) -> dict[str, Any]:
    """The versions, sizes and whatever else a report of a defect should say."""
    import apsw

    import headrace
    from headrace.backends.sqlite import bell, connecting

    return {
        "file_bytes": look.size_bytes(),
        "wal_bytes": look.log_bytes(),
        "file_system": connecting.file_system(os.path.dirname(os.path.abspath(look.path))),
        "headrace": headrace.__version__,
        "apsw": apsw.apsw_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "schema": look.schema,
        "bell": bell.implementation,
        "bell_polls": bell.polls,
        "queues": look.names(),
    }


def _print(found: dict[str, Any]) -> None:
    if "schema" in found:
        bell = found["bell"] + (" (polls)" if found["bell_polls"] else "")
        system = found["file_system"] or "unknown"
        queues = [plain(name) for name in found["queues"]]
        shown = ", ".join(queues[:8]) + (", …" if len(queues) > 8 else "")
        rows = [
            ("file", f"{found['path']}, {size(found['file_bytes'])}, log {size(found['wal_bytes'])}"),
            ("file system", system),
            ("queues", f"{count(len(queues))}: {shown}" if queues else "none"),
            ("headrace", f"{found['headrace']}, schema {found['schema']}, bell {bell}"),
            ("SQLite", f"{found['sqlite']} (apsw {found['apsw']})"),
        ]
        for name, text in rows:
            click.echo(f"{name:12} {text}")
    problems = found["problems"]
    if not problems:
        click.echo(f"{'whole':12} yes: pages, tables and counters are as they should be")
        return
    click.echo(f"{'whole':12} NO")
    for problem in problems:
        click.echo(f"  {plain(problem)}")
