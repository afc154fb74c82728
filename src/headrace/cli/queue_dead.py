"""``headrace dead``: the dead letters of a queue. What is in ``dead.py`` is the file of ``headrace run --dead``."""

from __future__ import annotations

import json
import sys
from time import localtime, strftime, time
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import status
from headrace.cli.nearest import did_you_mean
from headrace.cli.quantities import COUNT
from headrace.cli.queue_command import queue_command, url_argument
from headrace.cli.queue_opening import able_to, open_there
from headrace.cli.queue_shown import as_json, as_line, one_line, plain
from headrace.errors import Full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["command"]

SHOWN_AT_ONCE = 100

EPILOG = """\b
Examples:
  headrace dead list jobs.db
  headrace dead show jobs.db 17
  headrace dead retry jobs.db 17 18
  headrace dead retry jobs.db --all
  headrace dead edit jobs.db 17 '{"user": 7}'
  headrace dead export jobs.db > dead.jsonl
"""
EXIT = """

\b
Exit status:
  0  it is done
  1  there is no letter with that ID, or no room for its item
  2  the command line was refused; there is no such queue
"""


def dead_command(name: str, summary: str, *examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a sub-command: *summary* is its line in the list of them."""
    shown = "\b\nExamples:\n" + "\n".join(f"  headrace dead {name} {each}" for each in examples)
    return queue_command(name, shown + EXIT, short_help=summary)


class DeadGroup(click.Group):
    """Says what was perhaps meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As every group."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            ctx.fail(f"there is no command 'dead {name}'.{did_you_mean(name, self.commands)}")
        return super().resolve_command(ctx, args)


@click.group(cls=DeadGroup, name="dead", epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look after the dead letters of a queue: the items that failed for good.

    An item is dead when it was delivered too often (max_deliveries), when a consumer gave it up, when its time to
    live is over, or when it cannot be decoded. It counts as done, and stays in the file until it is retried or dropped.
    """


ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1, type=int)
all_option = click.option("--all", "takes_all", is_flag=True, help="All of them.")


def letters_of(url: str) -> Any:
    """The dead letters of the queue at *url*. Raises ``Refused``."""
    return able_to(open_there(url), "dead", url)


def check_ids(ids: tuple[int, ...], *, takes_all: bool) -> None:
    """Raise ``UsageError`` unless it is said which."""
    if bool(ids) == takes_all:
        raise click.UsageError("say which: the IDs that `headrace dead list` shows, or --all")


def missing(number: int) -> None:
    """Say that there is no such letter."""
    click.echo(f"headrace: no dead letter has the ID {number}: it was dropped or retried, or never was", err=True)


@dead_command("list", "List them: ID, item, deliveries, when and why they failed.", "jobs.db", "jobs.db#emails -n 1000")
@url_argument
@click.option(
    "-n", "--count", type=COUNT, default=SHOWN_AT_ONCE, metavar="N", help=f"Show N at most. [default: {SHOWN_AT_ONCE}]"
)
@click.option("--json", "is_json", is_flag=True, help="Print all of them, an object a line, as export does.")
def list_(url: str, count: int, is_json: bool) -> None:
    """List the dead letters of the queue at URL: ID, item, deliveries, when it failed, and why."""
    letters = letters_of(url)
    if is_json:
        _print_lines(as_json(record(letter)) for letter in letters)
        return
    from itertools import islice

    from headrace.cli.queue_tables import console_for_stdout, dead_table
    from headrace.consumers.failure import shown

    now = time()
    rows = [
        (
            letter.id,
            "(cannot be decoded)" if letter.undecodable else shown(letter.item),
            letter.attempts,
            max(0.0, now - letter.failed_at),
            str(letter.error),
        )
        for letter in islice(letters, count)
    ]
    if not rows:
        click.echo("no dead letters", err=True)
        return
    console = console_for_stdout()
    console.print(dead_table(rows, console.width), soft_wrap=True)
    more = len(letters) - len(rows)
    if more > 0:
        click.echo(f"and {more:,} more: -n {len(letters)} shows them, --json prints all")


@dead_command("show", "Show everything that is known of some.", "jobs.db 17")
@url_argument
@click.argument("ids", metavar="ID...", nargs=-1, type=int, required=True)
def show(url: str, ids: tuple[int, ...]) -> int:
    """Show all that is known of the dead letters with these IDs: item, error, history, traceback."""
    letters = letters_of(url)
    exit_status = status.DONE
    for place, number in enumerate(ids):
        try:
            letter = letters[number]
        except KeyError:
            missing(number)
            exit_status = status.FAILED
            continue
        click.echo(("\n" if place else "") + described(letter), nl=False)
    return exit_status


def described(letter: Any) -> str:
    """*letter* for a reader."""
    item = as_line(letter.item, is_json=True).decode("utf-8", "backslashreplace")
    rows = [
        ("id", str(letter.id)),
        ("item", f"cannot be decoded: {letter.undecodable}" if letter.undecodable else item),
        ("error", str(letter.error)),
        ("tries", str(letter.attempts)),
        ("put", moment(letter.put_at)),
        ("failed", moment(letter.failed_at)),
    ]
    if letter.priority:
        rows.append(("priority", str(letter.priority)))
    if letter.key is not None:
        rows.append(("key", letter.key))
    text = "".join(f"{name:9} {one_line(value)}\n" for name, value in rows)
    if letter.history:
        text += "history\n" + "".join(f"  {moment(when)}  {one_line(why)}\n" for when, why in letter.history)
    if letter.traceback.strip() != str(letter.error).strip():
        text += "traceback\n" + "".join(f"  {plain(line)}\n" for line in letter.traceback.splitlines())
    return text


def moment(seconds: float) -> str:
    """A time in the zone of this machine."""
    return strftime("%Y-%m-%d %H:%M:%S", localtime(seconds))


@dead_command("retry", "Put their items into the queue again.", "jobs.db 17 18", "jobs.db --all")
@url_argument
@ids_argument
@all_option
def retry(url: str, ids: tuple[int, ...], takes_all: bool) -> int:
    """Put the items of dead letters into the queue again, behind those that wait."""
    check_ids(ids, takes_all=takes_all)
    letters = letters_of(url)
    count, exit_status = 0, status.DONE
    for number in [letter.id for letter in letters] if takes_all else ids:
        try:
            letters.retry(number, block=False)
            count += 1
        except KeyError:
            if not takes_all:
                missing(number)
                exit_status = status.FAILED
        except Full:
            click.echo(f"headrace: no room: the queue is full; dead letter {number} stays", err=True)
            exit_status = status.FAILED
            break
    click.echo(f"{url}: {count:,} put again")
    return exit_status


@dead_command("drop", "Drop them for good.", "jobs.db 17 18", "jobs.db --all")
@url_argument
@ids_argument
@all_option
def drop(url: str, ids: tuple[int, ...], takes_all: bool) -> int:
    """Drop dead letters for good."""
    check_ids(ids, takes_all=takes_all)
    letters = letters_of(url)
    count, exit_status = 0, status.DONE
    if takes_all:
        count = letters.drop_all()
    for number in ids:
        try:
            letters.drop(number)
            count += 1
        except KeyError:
            missing(number)
            exit_status = status.FAILED
    click.echo(f"{url}: {count:,} dropped")
    return exit_status


@dead_command(
    "export",
    "Print them in JSON, or only their items.",
    "jobs.db > dead.jsonl",
    "jobs.db --items | headrace run gzip",
)
@url_argument
@ids_argument
@click.option("--items", "only_items", is_flag=True, help="Only the items, one a line, as the input of another run.")
@click.option("-0", "--null", is_flag=True, help="With --items: end them with a NUL byte.")
def export(url: str, ids: tuple[int, ...], only_items: bool, null: bool) -> int:
    """Print dead letters, all or those with these IDs, as objects in JSON, one a line. They stay where they are.

    With --items only what was put, strings as they are: what `headrace run`, `put` and `headrace run --dead` call
    an input.
    """
    letters = letters_of(url)
    exit_status = status.DONE
    chosen: list[Any] = []
    for number in ids:
        try:
            chosen.append(letters[number])
        except KeyError:
            missing(number)
            exit_status = status.FAILED
    source = chosen if ids else letters
    if only_items:
        end = b"\0" if null else b"\n"
        _print_lines((as_line(one.item, is_json=False) for one in source if not one.undecodable), end)
    else:
        _print_lines(as_json(record(letter)) for letter in source)
    return exit_status


def record(letter: Any) -> dict[str, Any]:
    """*letter* as it is exported. docs/command-line.md has the keys."""
    return {
        "id": letter.id,
        "item": None if letter.undecodable else json.loads(as_json(letter.item)),
        "undecodable": letter.undecodable,
        "error": str(letter.error),
        "traceback": letter.traceback,
        "attempts": letter.attempts,
        "put_at": letter.put_at,
        "first_failed_at": letter.first_failed_at,
        "failed_at": letter.failed_at,
        "priority": letter.priority,
        "key": letter.key,
        "history": [list(entry) for entry in letter.history],
    }


def _print_lines(lines: Iterable[bytes] | Iterator[bytes], end: bytes = b"\n") -> None:
    stdout = sys.stdout.buffer
    for line in lines:
        stdout.write(line + end)
    stdout.flush()


@dead_command(
    "edit",
    "Put another item in the place of one's.",
    "jobs.db 17 '{\"user\": 7}'",
    "jobs.db#images 18 --text pictures/a.jpg",
)
@url_argument
@click.argument("number", metavar="ID", type=int)
@click.argument("value", metavar="[VALUE]", required=False)
@click.option("--text", is_flag=True, help="VALUE is a string, and not in JSON.")
def edit(url: str, number: int, value: str | None, text: bool) -> int:
    """Put VALUE, in JSON, in the place of the item of a dead letter. Without it, it is read from standard input.

    The letter stays dead, with its history: `headrace dead retry` puts the new item into the queue.
    """
    letters = letters_of(url)
    item = _value(value, is_text=text)
    try:
        letters.edit(number, item)
    except KeyError:
        missing(number)
        return status.FAILED
    click.echo(f"{url}: the item of dead letter {number} is {as_line(item, is_json=True).decode()} now")
    return status.DONE


def _value(value: str | None, *, is_text: bool) -> Any:
    import os

    from headrace.cli.queue_lines import as_json as from_json
    from headrace.cli.queue_lines import as_text

    raw = sys.stdin.buffer.read().removesuffix(b"\n") if value is None else os.fsencode(value)
    if is_text:
        return as_text(raw)
    try:
        return from_json(raw)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(
            f"VALUE is no JSON: {error} (a string has quotes of its own, as in '\"text\"', or take --text)"
        ) from error


for each in (list_, show, retry, drop, edit, export):
    command.add_command(each)
