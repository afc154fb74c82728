"""``headrace completion``: the scripts it prints, sourced by the shells that they are for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cli_support import headrace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shells")

IN_BASH = """
eval "$(headrace completion bash)" || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
compopt() { echo "compopt $2"; }
_headrace_completion headrace
printf '%s\\n' "${COMPREPLY[@]}"
"""
IN_FISH = 'headrace completion fish | source; complete --do-complete "$argv"'
IN_ZSH = 'autoload -Uz compinit && compinit -u -D; eval "$(headrace completion zsh)"; whence -w _headrace_completion'


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A PATH on which `headrace` is the one under test."""
    script = tmp_path / "bin" / "headrace"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m headrace "$@"\n')
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name}")
    return found


@pytest.fixture
def in_bash(environment: dict[str, str]) -> Callable[..., list[str]]:
    """What bash makes of the last of some words when TAB is pressed."""

    def complete(*words: str) -> list[str]:
        done = subprocess.run(
            [shell("bash"), "--norc", "-c", IN_BASH, "bash", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split("\n")[:-1]

    return complete


def test_bash_completes_the_commands(in_bash: Callable[..., list[str]]) -> None:
    assert in_bash("headrace", "ru") == ["run"]
    assert sorted(in_bash("headrace", "p")) == ["pause", "peek", "purge", "put"]
    assert in_bash("headrace", "dead", "ex") == ["export"]
    assert in_bash("headrace", "comp") == ["completion"]
    assert in_bash("headrace", "completion", "") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("beginning", ["--in", "--nu", "--ca", "--progress", "--js", "--pi", "--ke"])
def test_bash_completes_options(in_bash: Callable[..., list[str]], beginning: str) -> None:
    known = headrace("run", "--help").stdout.decode()
    options = in_bash("headrace", "run", beginning)
    assert options
    assert all(option.startswith(beginning) and option in known for option in options)


def test_bash_completes_programs_and_then_files(in_bash: Callable[..., list[str]]) -> None:
    assert "xargs" in in_bash("headrace", "run", "xar") or shutil.which("xargs") is None
    assert in_bash("headrace", "run", "./xar")[0] == "compopt default"
    assert in_bash("headrace", "run", "cat", "some")[0] == "compopt default"


@pytest.mark.parametrize("option", ["--input", "--dead", "--joblog", "--results"])
def test_bash_completes_files_behind_the_options_that_take_one(in_bash: Callable[..., list[str]], option: str) -> None:
    assert in_bash("headrace", "run", option, "so")[0] == "compopt default"


def test_bash_completes_files_and_the_queues_in_them(in_bash: Callable[..., list[str]], tmp_path: Path) -> None:
    pytest.importorskip("apsw")
    jobs = tmp_path / "jobs.db"
    for name in ("emails", "errands", "images"):
        assert headrace("put", f"{jobs}#{name}", "item").returncode == 0
    assert in_bash("headrace", "stats", str(tmp_path / "jo"))[0] == "compopt default"
    assert in_bash("headrace", "get", f"{jobs}#e") == [f"{jobs}#emails", f"{jobs}#errands"]
    assert len(in_bash("headrace", "dead", "list", f"{jobs}#")) == 3
    assert in_bash("headrace", "get", f"{tmp_path / 'none.db'}#e") == [""]
    assert in_bash("headrace", "put", str(jobs), "--on-dup") == ["--on-duplicate"]


def test_fish_completes_commands_and_options(environment: dict[str, str]) -> None:
    for line, expected in [("headrace r", "run"), ("headrace run --inp", "--input")]:
        done = subprocess.run(
            [shell("fish"), "--no-config", "-c", IN_FISH, line],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert expected in done.stdout


def test_zsh_takes_the_script(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [shell("zsh"), "-f", "-c", IN_ZSH], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "_headrace_completion: function" in done.stdout


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(name: str) -> None:
    done = headrace("completion", name)
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"_HEADRACE_COMPLETE={name}_complete".encode() in done.stdout


def test_another_shell_is_refused() -> None:
    done = headrace("completion", "tcsh")
    assert done.returncode == 2
    assert b"'tcsh' is not one of" in done.stderr


def test_completing_says_nothing_on_standard_error() -> None:
    asked = {**os.environ, "_HEADRACE_COMPLETE": "bash_complete", "COMP_WORDS": "headrace run --inp", "COMP_CWORD": "2"}
    done = headrace(env=asked)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"plain,--input\n", b"")
