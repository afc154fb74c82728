"""What options of xargs and GNU parallel are called here: for those who have them in their fingers."""

from __future__ import annotations

import click

__all__ = ["explain"]

CALLED_HERE = {
    "--jobs": "-j",
    "--max-procs": "-j",
    "-P": "-j",
    "--arg-file": "--input",
    "-a": "--input",
    "--bar": "--progress",
    "--eta": "--progress",
    "--resume": "--queue",
    "--resume-failed": "--queue jobs.db --retry-dead",
}
NOT_NEEDED = {
    "-n": "a command gets one item, always; many are for --pipe",
    "--max-args": "a command gets one item, always; many are for --pipe",
    "-I": "{} stands for the item, always",
}


def explain(error: click.NoSuchOption) -> click.NoSuchOption:
    """*error*, or one in its place that says what to write, where its option is one of theirs."""
    name = error.option_name
    if name in CALLED_HERE:
        # As a message: click leaves out what is spelled otherwise.
        return click.NoSuchOption(name, f"No such option {name!r}. Did you mean {CALLED_HERE[name]!r}?", ctx=error.ctx)
    if name in NOT_NEEDED:
        return click.NoSuchOption(
            name, f"No such option {name!r}, nor a need for it: {NOT_NEEDED[name]}", ctx=error.ctx
        )
    return error
