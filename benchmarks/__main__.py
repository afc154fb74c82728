"""``python -m benchmarks``: runs the scenarios, prints them, and writes the page and the picture."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.aio import AIO
from benchmarks.commands import commands
from benchmarks.depth import depth
from benchmarks.durable import DURABLE
from benchmarks.durable_peers import versions
from benchmarks.footprint import footprint
from benchmarks.importing import importing
from benchmarks.machine import describe, load_warning, stolen_seconds
from benchmarks.mapping import MAPPING
from benchmarks.page import Conditions, page, verdicts_table
from benchmarks.picture import draw
from benchmarks.plan import ROUNDS, Plan, small_plan
from benchmarks.pool import POOL, retries
from benchmarks.process import ROOT
from benchmarks.throughput import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.results import Outcome

THEMES: dict[str, Callable[[Plan], Outcome]] = {
    **{scenario.name: scenario for scenario in SCENARIOS},
    POOL.name: POOL,
    "retries": retries,
    MAPPING.name: MAPPING,
    **{scenario.name: scenario for scenario in AIO},
    "depth": depth,
    "memory": footprint,
    "import": importing,
    **{scenario.name: scenario for scenario in DURABLE},
    "commands": commands,
}
SMALL_WARNING = "A small run, which only shows that all works: its figures mean nothing."


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    plan = small_plan(options.repeat) if options.small else Plan(rounds=options.repeat or ROUNDS)
    conditions = Conditions(plan, describe() | {"durable queues": versions()}, [SMALL_WARNING] if plan.small else [])
    if warning := load_warning():
        conditions.warnings.append(warning)
    _print_conditions(conditions)
    stolen = stolen_seconds()
    outcomes = [_run(name, plan) for name in options.only or THEMES]
    if stolen is not None:
        conditions.facts["taken by the hypervisor"] = f"{(stolen_seconds() or stolen) - stolen:.1f} s of the run"
    print(f"## Targets\n\n{verdicts_table([v for outcome in outcomes for v in outcome.verdicts])}\n")
    if options.json:
        _write_json(options.json, outcomes, conditions)
    if folder := _output_folder(options):
        _write_page(folder, outcomes, conditions)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Compare headrace with its peers.")
    parser.add_argument("--small", action="store_true", help="a few seconds in all, only to see that all works")
    parser.add_argument("--only", action="append", choices=list(THEMES), help="this scenario; may be given again")
    parser.add_argument("--repeat", type=_positive, metavar="N", help=f"rounds (default: {ROUNDS}, with --small 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure there")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="write benchmarks.md and benchmarks.svg there (default: docs; nowhere with --small or --only)",
    )
    return parser.parse_args()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} rounds: at least 1 is needed")
    return number


def _print_conditions(conditions: Conditions) -> None:
    for name, fact in conditions.facts.items():
        print(f"{name}: {fact}")
    for warning in conditions.warnings:
        print(f"Beware: {warning}")
    print(flush=True)


def _run(name: str, plan: Plan) -> Outcome:
    outcome = THEMES[name](plan)
    print(f"## {outcome.title} ({name})\n")
    if outcome.table.rows:
        print(outcome.table)
    for note in outcome.notes:
        print(f"- {note}")
    print(flush=True)
    return outcome


def _output_folder(options: argparse.Namespace) -> Path | None:
    if options.output:
        return Path(options.output)
    return None if options.small or options.only else ROOT / "docs"


def _write_json(file: Path, outcomes: list[Outcome], conditions: Conditions) -> None:
    document = {
        "machine": conditions.facts,
        "warnings": conditions.warnings,
        "rounds": conditions.plan.rounds,
        "scenarios": {outcome.name: asdict(outcome) for outcome in outcomes},
    }
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _write_page(folder: Path, outcomes: list[Outcome], conditions: Conditions) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw(outcomes, folder / "benchmarks.svg")
    if not picture:
        print("no picture: matplotlib is not installed (pip install 'headrace[bench]')", file=sys.stderr)
    (folder / "benchmarks.md").write_text(page(outcomes, conditions, picture=picture), encoding="utf-8")
    print(f"written: {folder / 'benchmarks.md'}{' and benchmarks.svg' if picture else ''}")


if __name__ == "__main__":
    main()
