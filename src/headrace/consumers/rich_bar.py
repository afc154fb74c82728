"""The progress bar itself, with rich. Imported only when there is one to draw."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import RenderableType
    from rich.progress import Task

__all__ = ["CountingBar"]


class RateColumn(ProgressColumn):
    """Items a second, over the last seconds."""

    def render(self, task: Task) -> Text:
        """The cell's text. Empty at first."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} items/s" if speed >= 10 else f"{speed:.1f} items/s")


class CountingBar(Progress):
    """A bar on stderr that asks for the count each time it is drawn.

    Args:
        handled: says how many items are done. Called in the thread that draws.
        total: how many there will be; None when nobody knows.
    """

    def __init__(self, handled: Callable[[], int], total: int | None) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._handled = handled
        self._handling = self.add_task("consuming", total=total)

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn now, with the count brought up to date."""
        if self.tasks:  # none yet while the base class is made
            self.update(self._handling, completed=self._handled())
        return super().get_renderables()

    def stop(self) -> None:
        """Draw the last state: what was not known is how many there were."""
        if self.tasks and self.tasks[0].total is None:
            self.update(self._handling, total=self._handled())
        super().stop()
