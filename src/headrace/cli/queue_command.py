"""What the commands that look after a queue have in common: their URL, their errors, their ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from headrace.cli import status
from headrace.cli.refusal import Refused
from headrace.errors import HeadraceError, NotSupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

__all__ = ["QueueCommand", "queue_command", "url_argument"]


class QueueCommand(click.Command):
    """A command that says in one line what went wrong with a queue, a file or its own output."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it. Raises ``Refused`` for errors that are nobody's mistake in here."""
        from headrace.cli.queue_opening import close_opened

        try:
            try:
                result = super().invoke(ctx)
                sys.stdout.flush()
            finally:
                close_opened(ctx)
        except (click.ClickException, BrokenPipeError):
            raise
        except NotSupported as error:
            raise Refused(str(error)) from error
        except HeadraceError as error:
            raise Refused(str(error), status.FAILED) from error
        except OSError as error:
            raise Refused(_about_system(error), status.FAILED) from error
        return result


def _about_system(error: OSError) -> str:
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    # Nothing else is written to without a name, and what is left for it has nowhere to go.
    from headrace.cli.app import forget_standard_output

    forget_standard_output()
    return f"standard output cannot be written: {error.strerror or error}"


def queue_command(
    name: str, epilog: str, cls: type[QueueCommand] = QueueCommand, **more: Any
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a ``QueueCommand`` of a function: its options are shown with *epilog*, the examples, under them.

    *more* as ``click.command``.
    """
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
    return click.command(cls=cls, name=name, epilog=epilog, context_settings=settings, **more)


def _complete_url(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from headrace.cli.completion import complete_url

    return complete_url(incomplete)


def url_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument URL, which all of these commands have first."""
    return click.argument("url", metavar="URL", shell_complete=_complete_url)(command)
