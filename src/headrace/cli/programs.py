"""Finds the program that a command names, before anything is run."""

from __future__ import annotations

import os

from headrace.cli import status
from headrace.cli.nearest import did_you_mean
from headrace.cli.refusal import Refused

__all__ = ["find_program"]


def find_program(name: str, *, suggest: bool = True) -> bytes:
    """The path of the program *name*, found as a shell finds it: on PATH, unless there is a slash in the name.

    Args:
        suggest: look for names that are near *name* when there is no such program, which takes some time.

    Raises:
        Refused: there is none, or it cannot be executed.
    """
    if "/" in name:
        return _check(name, suggest)
    unusable = None
    for folder in os.get_exec_path():
        path = os.path.join(folder or ".", name)
        if _is_program(path):
            return os.fsencode(path)
        if unusable is None and os.path.isfile(path):
            unusable = path
    if unusable is not None:
        _check(unusable, suggest)
    near = _hint(name) or (did_you_mean(name, _programs_on_path()) if suggest else "")
    raise Refused(f"command {name!r} is not on PATH.{near}", status.NOT_FOUND)


def _hint(name: str) -> str:
    from headrace.cli.shell_lines import hint_for_a_line  # only a mistake needs it

    return hint_for_a_line(name)


def _check(path: str, suggest: bool) -> bytes:
    """*path*, if it can be executed."""
    if _is_program(path):
        return os.fsencode(path)
    if os.path.isdir(path):
        raise Refused(f"command {path!r} is a directory, not a program", status.NOT_EXECUTABLE)
    if os.path.exists(path):
        raise Refused(f"command {path!r} is not executable: chmod +x makes it so", status.NOT_EXECUTABLE)
    folder, name = os.path.split(path)
    near = _hint(path) or (did_you_mean(name, _programs_in(folder or ".")) if suggest else "")
    raise Refused(f"command {path!r} does not exist.{near}", status.NOT_FOUND)


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _programs_in(folder: str) -> set[str]:
    try:
        return {name for name in os.listdir(folder) if _is_program(os.path.join(folder, name))}
    except OSError:
        return set()


def _programs_on_path() -> set[str]:
    return {name for folder in os.get_exec_path() for name in _programs_in(folder)}
