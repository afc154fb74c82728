"""The picture docs/benchmarks.svg: how many times as fast as others, on a log axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.contenders import SIMPLE_QUEUE
from benchmarks.results import times

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Bar, Outcome

__all__ = ["draw"]

# A card of its own colour, so that the picture reads the same on a white page and on a dark one.
CARD, INK, FAINT = "#f6f8fa", "#1f2328", "#8c959f"
COLOURS = {"stdlib": "#0969da", "simple": "#bf5b04", "peer": "#8250df"}
PEER_SCENARIOS = ["textbook", "bounded", "aio-coroutines", "aio-from-thread", "durable-cycle", "durable-pool"]
STANDARD = ("queue.", "asyncio.")
ROW_INCHES = 0.27


def draw(outcomes: list[Outcome], file: Path) -> bool:
    """Write the picture to *file*; False where matplotlib is not installed or there is nothing to show."""
    groups = [*_standard_library(outcomes), *_peers(outcomes)]
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    if not groups:
        return False
    mpl.use("Agg")
    with mpl.rc_context({"svg.hashsalt": "headrace", "text.color": INK, "font.size": 9}):
        figure = _figure(groups)
        figure.savefig(file, facecolor=CARD, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=110)
    return True


Group = tuple[str, "list[tuple[Bar, str]]"]


def _standard_library(outcomes: list[Outcome]) -> list[Group]:
    """A group a scenario: against the standard library's queues."""
    groups = []
    for outcome in outcomes:
        bars = [(bar, _kind(bar)) for bar in outcome.bars if bar.peer.startswith(STANDARD)]
        if bars:
            groups.append((outcome.title, bars))
    return groups


def _peers(outcomes: list[Outcome]) -> list[Group]:
    """The other peers, in a few scenarios alone, or there would be fifty bars."""
    groups = []
    for outcome in outcomes:
        bars = [(bar, _kind(bar)) for bar in outcome.bars if _kind(bar) == "peer"]
        if bars and outcome.name in PEER_SCENARIOS:
            groups.append((f"{outcome.title}: other peers", bars))
    return groups


def _kind(bar: Bar) -> str:
    if bar.peer == SIMPLE_QUEUE:
        return "simple"
    if bar.peer.startswith(STANDARD):
        return "stdlib"
    return "ours" if bar.peer.startswith("headrace.") else "peer"


def _figure(groups: list[Group]) -> Any:
    from matplotlib.figure import Figure

    rows = sum(len(bars) + 1 for _, bars in groups)
    figure = Figure(figsize=(9, ROW_INCHES * rows + 1.1), layout="constrained")
    axes = figure.add_subplot()
    labels: list[tuple[float, str]] = []
    row = 0.0
    for title, bars in groups:
        _draw_title(axes, row, title)
        row += 1
        for bar, kind in bars:
            _draw_bar(axes, row, bar, COLOURS[kind])
            labels.append((row, bar.peer))
            row += 1
    _finish(axes, labels, row)
    ratios = [bar.ratio for _, bars in groups for bar, _ in bars]
    # Room to the right for the figure behind the longest bar.
    axes.set_xlim(min(0.5, *(r.lowest for r in ratios)) / 1.7, max(100.0, *(r.highest for r in ratios)) * 2.5)
    return figure


def _draw_title(axes: Any, row: float, title: str) -> None:
    """At the left edge, on a patch of the card's colour that keeps the lines of the grid out of the words."""
    patch = {"facecolor": CARD, "edgecolor": "none", "pad": 1.5}
    place = axes.get_yaxis_transform()
    axes.text(0.004, row, title, transform=place, weight="bold", va="center", bbox=patch)


def _draw_bar(axes: Any, row: float, bar: Bar, colour: str) -> None:
    """The bar begins at 1, "as fast": to the right of it we are faster, to the left slower."""
    median = bar.ratio.median
    axes.barh(row, median - 1, left=1, height=0.72, color=colour)
    axes.plot([bar.ratio.lowest, bar.ratio.highest], [row, row], color=INK, linewidth=1)
    if bar.target:
        axes.plot([bar.target] * 2, [row - 0.42, row + 0.42], color=INK, linewidth=2.2)
    right = max(bar.ratio.highest, bar.target or 0, 1)
    patch = {"facecolor": CARD, "edgecolor": "none", "pad": 0.5}
    axes.annotate(_label(bar), (right, row), xytext=(5, 0), textcoords="offset points", va="center", bbox=patch)


def _label(bar: Bar) -> str:
    text = f"{times(bar.ratio.median)}×"  # noqa: RUF001
    missed = bar.target is not None and bar.ratio.median < bar.target
    return f"{text}, target {bar.target:g}× not met" if missed else text  # noqa: RUF001


def _finish(axes: Any, labels: list[tuple[float, str]], end: float) -> None:
    axes.set_xscale("log")
    axes.set_ylim(end - 0.4, -0.7)
    ticks = [0.5, 1, 2, 5, 10, 25, 50, 100, 250, 1000]
    axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])  # noqa: RUF001
    axes.minorticks_off()
    axes.set_yticks([row for row, _ in labels], [label for _, label in labels])
    axes.axvline(1, color=INK, linewidth=1)
    axes.grid(axis="x", color=FAINT, alpha=0.35, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_facecolor(CARD)
    axes.tick_params(colors=INK, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_title("How many times as fast headrace is (log scale)", loc="left", weight="bold", fontsize=12)
    axes.set_xlabel("thick mark: our target; thin line: lowest to highest of the rounds; 1×: as fast as the other")  # noqa: RUF001
