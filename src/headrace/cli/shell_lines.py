"""What was written for a shell where there is none, or where one would run what an item says: refused, with a way."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from headrace.cli import status
from headrace.cli.refusal import Refused
from headrace.cli.vocabulary import is_harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from headrace.cli.vocabulary import Vocabulary

__all__ = ["hint_for_a_line", "refuse_a_line", "refuse_pasting"]

SHELLS = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh", "zsh"})
# What runs the command behind it: options, assignments and numbers may stand in between.
LAUNCHERS = frozenset({"doas", "env", "ionice", "nice", "nohup", "setsid", "stdbuf", "sudo", "time", "timeout"})
OF_A_LAUNCHER = r"-|\w+=|[\d.]+[smhd]?\Z"
OPERATORS = r"[|&;<>`]|\$\("


def hint_for_a_line(name: str) -> str:
    """The end of an error message about the program *name*: what to write if that is a line of words."""
    if re.search(OPERATORS, name):
        from shlex import quote  # only a mistake needs it

        return f" There is no shell in between: did you mean --shell {quote(name)}?"
    if len(name.split()) > 1:
        return f" Write it without the quotes ({name.strip()}), or with --shell."
    return ""


def refuse_a_line(word: str) -> None:
    """Refuse *word*, the only one of a command and with a placeholder in it, where it surely is a line for a shell.

    Raises:
        Refused: there are operators of a shell in it, or its first word is a program.
    """
    from shutil import which  # slow to import

    first, *more = word.split() or [""]
    if re.search(OPERATORS, word) or (more and "{" not in first and which(first)):
        raise Refused(f"there is no program {word!r}.{hint_for_a_line(word)}", status.NOT_FOUND)


def refuse_pasting(words: Sequence[bytes], vocabulary: Vocabulary) -> None:
    """Refuse a shell's program (``sh -c PROGRAM``) with a placeholder in it: what an item says would be run.

    A program that is nothing but the placeholder is what is meant to be run.

    Raises:
        Refused: there is such a one.
    """
    found = _program_for_a_shell(list(map(os.fsdecode, words)))
    if found is None:
        return
    shell, program = found
    pieces = vocabulary.pieces(os.fsencode(program))
    if is_harmless(pieces) or (len(pieces) == 3 and pieces[0] == b"" == pieces[2]):
        return
    raise Refused(
        f"{program!r} is a program for {shell}, which would run what an item says. "
        "Use --shell LINE, where {} comes quoted, or make the item an argument: "
        f"""{shell} -c '… "$1" …' {os.path.basename(shell)} {{}}"""
    )


def _program_for_a_shell(words: list[str]) -> tuple[str, str] | None:
    """The shell, and what stands behind its ``-c``."""
    rest = iter(words)
    shell = next(rest)
    while os.path.basename(shell) in LAUNCHERS:
        shell = next((word for word in rest if not re.match(OF_A_LAUNCHER, word)), "")
    if os.path.basename(shell) not in SHELLS:
        return None
    program = _behind_c(rest)
    return None if program is None else (shell, program)


def _behind_c(words: Iterable[str]) -> str | None:
    """The first word that is no option, if there was a ``-c`` before it."""
    has_c = False
    for word in words:
        if not word.startswith(("-", "+")):
            return word if has_c else None
        has_c = has_c or (word.startswith("-") and not word.startswith("--") and "c" in word)
    return None
