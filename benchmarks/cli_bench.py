"""The command line against ``xargs -P`` and GNU parallel; by itself with ``python -m benchmarks.cli_bench``.

Whole processes are timed, from their start to their end, the start-up of Python included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.plan import Plan, small_plan
from benchmarks.process import ROOT
from benchmarks.results import Bar, Outcome, Spread, Table, Verdict, ratio, times, times_range

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure"]

CONSUMERS = 2
ITEMS = 1000
LINES = 1_000_000
FILES = 500
LINES_A_SECOND = 200_000
PIPE_TIMES = 50.0

HEADRACE = "headrace run"
XARGS = "xargs -P"
PARALLEL = "GNU parallel"
CALL = "headrace run --call"
PIPE = "headrace run --pipe"
PARALLEL_PIPE = "GNU parallel --pipe"

HOW = """
`true` is run for each of {items:,} lines of a file, {consumers} at a time; `sha256sum` for {files:,} files of the
standard library, and the same work is done in a Python function, `examples/hashlib_example.py`; `os.path.basename` is
called for each of {lines:,} lines, and as many are fed to {consumers} processes of `cat` (GNU parallel: `--pipe`, which
starts a process for each MB, and `--pipe --round-robin`, which keeps them). A whole process is timed, from its start
to its end. All are given the path of the
program, or xargs would look for it anew for each item. Most of the time is the kernel's, which starts the same program
for everybody: what a tool adds is what differs.
"""


@dataclass(frozen=True, slots=True)
class Job:
    """One command line whose speed is measured: items a second."""

    name: str
    words: list[str]
    input_file: Path
    items: int

    def rate(self) -> float:
        """Run it once. Raises ``CalledProcessError`` when it fails."""
        with open(self.input_file, "rb") as items:
            begun = perf_counter()
            subprocess.run(self.words, stdin=items, stdout=subprocess.DEVNULL, cwd=ROOT / "examples", check=True)
            return self.items / (perf_counter() - begun)


def measure(plan: Plan) -> Outcome:
    """Every job in every round, in an order of chance."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = [job for jobs in (_commands, _hashes, _calls, _pipes) for job in jobs(Path(folder), plan)]
        rates: dict[str, list[float]] = {job.name: [] for job in jobs}
        for _ in range(plan.rounds):
            for job in plan.shuffled(jobs):
                rates[job.name].append(job.rate())
    return Outcome(
        name="commands",
        title="the command line",
        how=_how(plan),
        table=Table(("", "items a second", "lowest to highest"), [_row(name, rates[name]) for name in rates]),
        figures=rates,
        verdicts=_verdicts(rates),
        bars=[Bar(peer, ratio(rates[f"{HEADRACE} true"], rates[f"{peer} true"])) for peer in _peers(rates)],
        notes=[
            f"{name} is not installed." for name, found in ((XARGS, _xargs()), (PARALLEL, _parallel())) if not found
        ],
    )


def _how(plan: Plan) -> str:
    how = HOW.format(
        items=plan.size(ITEMS),
        consumers=CONSUMERS,
        files=plan.size(FILES),
        lines=plan.size(LINES),
    )
    return " ".join(how.split())


def _commands(folder: Path, plan: Plan) -> list[Job]:
    """A command that does nothing: what is left is what it costs to start one."""
    true = shutil.which("true") or "true"
    count = plan.size(ITEMS)
    items = _numbers(folder / "items", count)
    jobs = [Job(f"{HEADRACE} true", [*_headrace(), f"-j{CONSUMERS}", true], items, count)]
    if xargs := _xargs():
        jobs.append(Job(f"{XARGS} true", [xargs, f"-P{CONSUMERS}", "-n1", true], items, count))
    if parallel := _parallel():
        jobs.append(Job(f"{PARALLEL} true", [parallel, f"-j{CONSUMERS}", true], items, count))
    return jobs


def _hashes(folder: Path, plan: Plan) -> list[Job]:
    """Real work on real files."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py"))[: plan.size(FILES)]
    files = folder / "files"
    files.write_text("".join(f"{path}\n" for path in sources))
    call = [*_headrace(), f"-j{CONSUMERS}", "--call", "hashlib_example:digest"]
    jobs = [Job(f"{CALL} hashlib_example:digest", call, files, len(sources))]
    if program := shutil.which("sha256sum"):
        jobs.append(Job(f"{HEADRACE} sha256sum", [*_headrace(), f"-j{CONSUMERS}", program], files, len(sources)))
        if xargs := _xargs():
            jobs.append(Job(f"{XARGS} sha256sum", [xargs, f"-P{CONSUMERS}", "-n1", program], files, len(sources)))
    return jobs


def _calls(folder: Path, plan: Plan) -> list[Job]:
    """A function that does next to nothing: what is left is what a line costs."""
    lines = _numbers(folder / "lines", plan.size(LINES))
    return [Job(f"{CALL} os.path:basename", [*_headrace(), "--call", "os.path:basename"], lines, plan.size(LINES))]


def _pipes(folder: Path, plan: Plan) -> list[Job]:
    """Commands that are started once and take many lines."""
    lines = _numbers(folder / "fed", plan.size(LINES))
    count = plan.size(LINES)
    cat = shutil.which("cat") or "cat"
    jobs = [Job(f"{PIPE} cat", [*_headrace(), f"-j{CONSUMERS}", "--pipe", cat], lines, count)]
    if parallel := _parallel():
        words = [parallel, f"-j{CONSUMERS}", "--pipe"]
        jobs.append(Job(f"{PARALLEL_PIPE} cat", [*words, cat], lines, count))
        jobs.append(Job(f"{PARALLEL_PIPE} --round-robin cat", [*words, "--round-robin", cat], lines, count))
    return jobs


def _numbers(file: Path, count: int) -> Path:
    file.write_text("".join(f"{number}\n" for number in range(count)))
    return file


def _headrace() -> list[str]:
    """The command as it is installed beside this Python, or as a module."""
    script = shutil.which("headrace", path=sysconfig.get_path("scripts"))
    return [script, "run"] if script else [sys.executable, "-m", "headrace", "run"]


def _xargs() -> str | None:
    return shutil.which("xargs")


def _parallel() -> str | None:
    """GNU parallel: there is another program of that name."""
    found = shutil.which("parallel")
    if found is None:
        return None
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return found if told.stdout.startswith("GNU parallel") else None


def _row(name: str, rates: list[float]) -> tuple[str, ...]:
    spread = Spread.of(rates)
    return f"`{name}`", f"{spread.median:,.0f}", f"{spread.lowest:,.0f} to {spread.highest:,.0f}"


def _peers(rates: dict[str, list[float]]) -> list[str]:
    return [peer for peer in (XARGS, PARALLEL) if f"{peer} true" in rates]


def _verdicts(rates: dict[str, list[float]]) -> list[Verdict]:
    least = {XARGS: 1.0, PARALLEL: 5.0}
    verdicts = [_against(peer, least[peer], rates) for peer in _peers(rates)]
    verdicts += [_pipe_against(peer, rates) for peer in _peers(rates)]
    lines = Spread.of(rates[f"{CALL} os.path:basename"])
    verdicts.append(
        Verdict(
            claim="headrace run --call: lines a second",
            target=f"at least {LINES_A_SECOND:,}",
            measured=f"{lines.median:,.0f} ({lines.lowest:,.0f} to {lines.highest:,.0f})",
            met=lines.median >= LINES_A_SECOND,
        )
    )
    return verdicts


def _against(peer: str, least: float, rates: dict[str, list[float]]) -> Verdict:
    faster = ratio(rates[f"{HEADRACE} true"], rates[f"{peer} true"])
    return Verdict(
        claim=f"headrace run: commands started, against {peer}",
        target=f"at least {times(least)} times",
        measured=f"{times(faster.median)} ({times_range(faster)})",
        met=faster.median >= least,
    )


def _pipe_against(peer: str, rates: dict[str, list[float]]) -> Verdict:
    faster = ratio(rates[f"{PIPE} cat"], rates[f"{peer} true"])
    return Verdict(
        claim=f"headrace run --pipe: items, against a process for each by {peer}",
        target=f"at least {times(PIPE_TIMES)} times",
        measured=f"{times(faster.median)} ({times_range(faster)})",
        met=faster.median >= PIPE_TIMES,
    )


def main(arguments: list[str], say: Callable[[object], None] = print) -> None:
    """Measure and print; ``--small`` only shows that all works."""
    outcome = measure(small_plan(None) if "--small" in arguments else Plan())
    say(f"{outcome.how}\n\n{outcome.table}\n")
    for verdict in outcome.verdicts:
        say(f"{verdict.claim}: {verdict.measured}; {verdict.target}: {'met' if verdict.met else 'NOT met'}")
    for note in outcome.notes:
        say(note)


if __name__ == "__main__":
    main(sys.argv[1:])
