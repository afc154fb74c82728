"""The page docs/benchmarks.md."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.results import Table

if TYPE_CHECKING:
    from benchmarks.plan import Plan
    from benchmarks.results import Outcome, Verdict

__all__ = ["Conditions", "page", "verdicts_table"]

INTRODUCTION = """\
# Benchmarks

Written by `make bench`, not by hand. Every figure comes from one run, in which headrace and the others took turns.
"""

HOW = """\
## How it was measured

- **In turns.** In each of {rounds} rounds every queue has one turn, in an order of chance. A figure is the median of
  the rounds. A ratio is taken round by round, so that what slows a whole round down falls out, and is then the median;
  behind it stand the lowest and the highest. Whether a target is met is judged by the median.
- **The same for all.** One process, {switch} switch interval, threads started in the same way; before each turn a
  garbage collection, and none during it. The loops call the queue's own bound methods, by position and without a
  timeout.
- **`task_done` follows each `get` wherever there is one**: in ours, `queue.Queue`, janus, culsans and ft_utils. Both
  `SimpleQueue`s and aiologic have none, and so do less for the same item.
- **Consumers end in one way for all:** the producer that finishes last puts one `None` for each consumer. headrace's
  own way (`shutdown`) is not used, for not everybody has it.
- **Threads** are started and wait at a barrier; the time runs from its release to the end of the last consumer.
- **Sizes.** A turn has the number of items in the last column. It is lower for a queue that, by a short warm-up, would
  take longer than {limit:g} s.
- **Coroutines** run in loops of asyncio, a new one for each turn, in a thread of its own where threads take part.
  culsans is called by the methods of the queue itself and not through its proxies, which is faster. janus serves one
  loop; its authors advise against it for coroutines alone.
- **Durable queues** lie in files in the system's temporary folder (`TMPDIR` moves it), all on one file system, and
  every put of everybody is on the disk when it counts as done, unless the scenario says otherwise. What an fsync takes
  there is measured anew beside each scenario. That no item is missing at the end is checked for all. Peers are used as
  they are fastest, which is told with the scenario. Processes are fresh ones, started before the time begins.
"""

CAVEATS = """\
## What these figures do not say, and our own bias

- **We wrote them.** The scenarios are those that headrace was made fast for, and we chose the targets.
- **The items are integers**, made as they go, and nothing is done with them. A program whose work on an item takes
  100 µs would notice no difference between most of the queues here.
- **Few cores, and the GIL** where the list above says so: one thread runs Python at a time, and the scenarios with
  threads show what handing over and switching cost, not several cores at work. They say nothing about a free-threaded
  build.
- **A virtual machine** shares its cores with strangers. Ratios bear that better than rates do.
- **The bounded queues and ping-pong measure the switch.** headrace makes two thread switches for 100 items, the least
  that a bound of 100 allows, and one each way in a ping-pong. With an idle virtual core that must be woken, a switch
  takes 10 to 20 µs, whoever asks for it, and that is most of these rows. Bound to one core (`taskset -c 0 make bench`),
  where it takes 2 µs, the same machine gave 12 and 12 to 14 times `queue.Queue` for the bounded rows, and 1.8 to 1.9
  times for ping-pong.
- **A ping-pong between a thread and a coroutine** takes both a processor and its waking. On the machine where the
  target was missed, 25 µs of a round trip were computed (culsans: 34), two thirds of it in the loop's thread, where
  asyncio makes two turns for each item; the other half of the time went by until an idle core was awake, for all alike.
- **Throughput is neither latency nor fairness.** A queue that lets one thread run on for long looks good here. Only
  ping-pong waits for each item.
- **Peers do other things too**: janus, culsans and aiologic serve asyncio as well as threads. In the scenarios of
  threads alone only their side for threads is measured; ft_utils is made for free-threaded builds.
- **Durable: an fsync costs what the disk says.** A disk that takes 5 ms for one makes rows of single puts differ by
  nothing but how many share an fsync, and one that lies about it makes all of them faster. Bare SQLite is the floor
  that we measure ourselves against, and does less: no leases, no bodies to encode, nobody to wake.
- **Durable peers promise less, or other things**, and some of what they leave out is what costs: persist-queue's
  `SQLiteQueue` serves one consumer, huey loses the task that a killed process ran, litequeue keeps it locked.
- **Memory** counts what a queue needs for an item, and not the item.
"""

WITHOUT_PGO = """\
- **This Python was built without profile-guided optimisation.** That slows down code written in Python, as most of
  `queue.Queue` is, more than code written in C. Against the builds that most people have, expect lower ratios to the
  queues written in Python.
"""

RERUN = """\
## To run them yourself

```console
$ make bench                                  # this page, the picture; some minutes on a machine left alone
$ make bench PYTHON=python3.13                # with another Python: ft_utils installs from 3.13 on
$ make bench ARGS='--only textbook --repeat 15'   # one scenario, printed and not written
$ make bench ARGS='--json figures.json'       # every single figure
```

The names for `--only`: {names}.
"""


@dataclass(slots=True)
class Conditions:
    """What a run was made under: facts about the machine, and what a reader must be warned of."""

    plan: Plan
    facts: dict[str, str]
    warnings: list[str] = field(default_factory=list)


def page(outcomes: list[Outcome], conditions: Conditions, *, picture: bool) -> str:
    """The whole page as Markdown."""
    plan = conditions.plan
    sections = [
        INTRODUCTION,
        *(f"> **Beware.** {warning}\n" for warning in conditions.warnings),
        *(["![How many times as fast as others headrace is](benchmarks.svg)\n"] if picture else []),
        "## Targets\n\n" + _targets(outcomes),
        "## Machine\n\n" + "".join(f"- {name}: {fact}\n" for name, fact in conditions.facts.items()),
        "## Figures\n",
        *(_section(outcome) for outcome in outcomes),
        HOW.format(rounds=plan.rounds, switch=conditions.facts["switch interval"], limit=plan.seconds_at_most),
        CAVEATS + ("" if _built_with_pgo() else WITHOUT_PGO),
        RERUN.format(names=", ".join(f"`{outcome.name}`" for outcome in outcomes)),
    ]
    return "\n".join(sections)


def _targets(outcomes: list[Outcome]) -> str:
    verdicts = [verdict for outcome in outcomes for verdict in outcome.verdicts]
    met = sum(verdict.met for verdict in verdicts)
    return f"{met} of {len(verdicts)} are met.\n\n{verdicts_table(verdicts)}\n"


def verdicts_table(verdicts: list[Verdict]) -> Table:
    return Table(
        ("claim", "target", "measured", "met"),
        [(v.claim, v.target, v.measured, "yes" if v.met else "**not met**") for v in verdicts],
    )


def _section(outcome: Outcome) -> str:
    table = str(outcome.table) if outcome.table.rows else ""
    notes = "\n".join(f"- {note}" for note in outcome.notes)
    parts = (f"### {outcome.title[0].upper()}{outcome.title[1:]}", outcome.how, table, notes)
    return "\n\n".join(part for part in parts if part) + "\n"


def _built_with_pgo() -> bool:
    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
