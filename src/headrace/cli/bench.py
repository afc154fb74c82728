"""``headrace bench``: the queues of this machine's Python and headrace's, side by side."""

from __future__ import annotations

import gc
import signal
import statistics
from typing import Any, NamedTuple

import click

from headrace.cli.bench_scenarios import OURS, SCENARIOS, Contender, Scenario

__all__ = ["command"]

SMALLEST_RUN = 1000
# A first guess of how many items fit into a run is good to within this factor before it is made again.
GROWTH = 10


class Effort(NamedTuple):
    """How much time is spent: *rounds* runs of *seconds* for each contender."""

    rounds: int
    seconds: float


FULL = Effort(rounds=7, seconds=0.3)
QUICK = Effort(rounds=3, seconds=0.05)


class Row(NamedTuple):
    """What came out of a scenario.

    Attributes:
        rates: items a second of each contender, the median of the rounds.
        ratios: how many times as fast headrace was as each other, the median of the rounds.
    """

    scenario: str
    rates: dict[str, float]
    ratios: dict[str, float]


@click.command(name="bench", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Spend some seconds in place of a minute. The figures are less certain.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in place of a table.")
def command(quick: bool, as_json: bool) -> None:
    """Compare headrace with queue.Queue and queue.SimpleQueue on this machine.

    Every figure is the median of several rounds, in which the queues take turns. Small integers are put; task_done
    is called for each item wherever there is one (SimpleQueue has neither that nor a bound). Other work on
    the machine makes the figures worse, seldom the ratios.
    """
    # A process that just ended would leave the terminal without its cursor.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    effort = QUICK if quick else FULL
    rows = _measure_all(effort)
    if as_json:
        _print_json(rows, effort)
    else:
        from headrace.cli.bench_table import print_table

        print_table(rows, _machine(), effort.rounds)


def _measure_all(effort: Effort) -> list[Row]:
    """Measure every scenario, saying on a terminal which one it is."""
    from rich.console import Console

    console = Console(stderr=True)
    rows: list[Row] = []
    with console.status("", spinner="dots") as shown:
        for number, scenario in enumerate(SCENARIOS, 1):
            shown.update(f"{number} of {len(SCENARIOS)}: {scenario.name}")
            rows.append(_measure(scenario, effort))
    return rows


def _measure(scenario: Scenario, effort: Effort) -> Row:
    """All rounds of one scenario. The contenders take turns, so that a change of the machine's speed hits all."""
    items = {each.name: _items_for(scenario, each, effort.seconds) for each in scenario.contenders}
    rounds = [
        {each.name: _rate(scenario, each, items[each.name]) for each in scenario.contenders}
        for _ in range(effort.rounds)
    ]
    rates = {name: statistics.median(each[name] for each in rounds) for name in items}
    ratios = {name: statistics.median(each[OURS] / each[name] for each in rounds) for name in items if name != OURS}
    return Row(scenario.name, rates, ratios)


def _items_for(scenario: Scenario, contender: Contender, seconds: float) -> int:
    """How many items take about so many seconds."""
    items = SMALLEST_RUN
    while True:
        taken = scenario.measure(contender, items)
        if taken * GROWTH >= seconds:
            return max(SMALLEST_RUN, int(items * seconds / taken))
        items *= GROWTH


def _rate(scenario: Scenario, contender: Contender, items: int) -> float:
    gc.collect()
    return items / scenario.measure(contender, items)


def _machine() -> dict[str, Any]:
    """What the figures depend on."""
    import os
    import platform

    from headrace import __version__, implementation

    return {
        "headrace": __version__,
        "implementation": implementation,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def _print_json(rows: list[Row], effort: Effort) -> None:
    import json

    result = {
        "machine": _machine(),
        "rounds": effort.rounds,
        "seconds_per_run": effort.seconds,
        "scenarios": [
            {"scenario": row.scenario, "items_per_second": row.rates, "ratio_to": row.ratios} for row in rows
        ],
    }
    click.echo(json.dumps(result, indent=2))
