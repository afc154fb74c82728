"""What is said when a listener's library is not installed."""

from __future__ import annotations

from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["needs"]


@contextmanager
def needs(listener: str, library: str, *, extra: str) -> Generator[None]:
    """Around the import of a *library*: say which *extra* installs it, if it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{listener} needs {library}, which is not installed ({error}): pip install 'headrace[{extra}]'",
            name=error.name,
        ) from error
