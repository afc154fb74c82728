"""What the command line refuses: before anything runs, saying what is wrong and what was perhaps meant."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli_support import HEADRACE, headrace, measures_memory

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems")


def refusal(*arguments: str | Path, status: int = 2, **options: object) -> str:
    """What a refused command line has on standard error. Nothing has been printed, and no input read."""
    with open(__file__, "rb") as items:
        done = subprocess.run(
            [*HEADRACE, *arguments], stdin=items, capture_output=True, timeout=60, check=False, **options
        )
        assert os.lseek(items.fileno(), 0, os.SEEK_CUR) == 0
    error = done.stderr.decode()
    assert (done.returncode, done.stdout) == (status, b""), error
    assert "headrace/cli" not in error
    return error


def test_an_unknown_command_is_refused_with_the_nearest_name() -> None:
    error = refusal("run", "sha256sm", "{}", status=127)
    assert error.startswith("headrace: command 'sha256sm' is not on PATH. Did you mean 'sha256sum'")
    assert error.count("\n") == 1


def test_a_command_with_a_path_that_does_not_exist_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "convert-all").touch(mode=0o755)
    error = refusal("run", tmp_path / "convert_all", status=127)
    assert "does not exist. Did you mean 'convert-all'?" in error
    (tmp_path / "convert-all").rename(tmp_path / "something-else")
    assert refusal("run", "./convert_all", status=127, cwd=tmp_path).endswith("does not exist.\n")


def test_a_command_that_cannot_be_executed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").touch(mode=0o644)
    assert "is not executable: chmod +x" in refusal("run", tmp_path / "notes", status=126)
    assert "is a directory" in refusal("run", tmp_path, status=126)
    path = {**os.environ, "PATH": f"/nonexistent{os.pathsep}{tmp_path}"}
    assert "is not executable" in refusal("run", "notes", status=126, env=path)


def test_no_command_is_refused() -> None:
    assert "there is no COMMAND to run" in refusal("run")
    assert "there is no COMMAND to run" in refusal("run", "")


def test_a_command_together_with_a_function_is_refused() -> None:
    assert "give one or the other" in refusal("run", "--call", "os.path:basename", "echo")
    assert "give one or the other" in refusal("run", "--call", "os.path:basename", "--shell")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("os.path:basenam", "'os.path' has no 'basenam'. Did you mean 'basename'?"),
        ("jsn:loads", "there is no module 'jsn'. Did you mean 'json'?"),
        ("email.mesage:Message", "there is no module 'email.mesage'. Did you mean 'email.message'"),
        ("os.pth:basename", "there is no module 'os.pth'."),
        ("nothing_like_this_at_all:f", "there is no module 'nothing_like_this_at_all'.\n"),
        ("json", "write it as module:function"),
        ("json:", "write it as module:function"),
        (":loads", "write it as module:function"),
        ("sys:maxsize", "that is int, not a function"),
        ("json:decoder.JSONDecodr", "'json.decoder' has no 'JSONDecodr'. Did you mean 'JSONDecoder'"),
        ("shutil:copyfile", "takes (src, dst, *, follow_symlinks=True): missing a required argument: 'dst'"),
        ("os:getcwd", "it is called with one argument, the item, and takes (): too many positional arguments"),
    ],
)
def test_an_unknown_function_is_refused_with_the_nearest_name(name: str, expected: str) -> None:
    error = refusal("run", "--call", name)
    assert error.startswith("headrace: ")
    assert expected in error


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import json\n1 / 0\n", ["broken.py", "line 2", "ZeroDivisionError: division by zero"]),
        ("import no_such_dependency\n", ["broken.py", "No module named 'no_such_dependency'"]),
        ("def f(:\n", ["broken.py", "SyntaxError"]),
        ("raise SystemExit('a script')\n", ["SystemExit: a script"]),
    ],
)
def test_a_module_that_cannot_be_imported_shows_its_own_error(tmp_path: Path, source: str, expected: list[str]) -> None:
    (tmp_path / "broken.py").write_text(source)
    error = refusal("run", "--call", "broken:f", cwd=tmp_path)
    assert error.startswith("headrace: module 'broken' cannot be imported:\n")
    assert all(part in error for part in expected)
    assert "importlib" not in error


def test_the_current_directory_is_not_importable_where_python_was_told_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("f = str\n")
    done = headrace("run", "--call", "mine:f", stdin=b"1\n", cwd=tmp_path, env={**os.environ, "PYTHONSAFEPATH": "1"})
    assert done.returncode == 2
    assert b"there is no module 'mine'" in done.stderr


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    error = refusal("run", "--inptu", "file", "echo")
    assert "--inptu" in error
    assert "Did you mean" in error
    assert "--input" in error


def test_an_unknown_subcommand_is_refused_with_the_nearest_name() -> None:
    assert "there is no command 'rnu'. Did you mean 'run'?" in refusal("rnu")
    assert "there is no command 'xyzzy'.\n" in refusal("xyzzy")


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_a_number_of_consumers_below_one_is_refused(number: str) -> None:
    assert "Invalid value for '-j'" in refusal("run", f"-j{number}", "echo")


def test_an_input_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    assert "No such file or directory" in refusal("run", "--input", tmp_path / "missing", "echo")
    assert "Is a directory" in refusal("run", "--input", tmp_path, "echo")


def test_more_consumers_than_there_can_be_are_refused() -> None:
    import resource

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))

    error = refusal("run", "-j", "1000", "echo", preexec_fn=few_files)
    assert error.startswith("headrace: -j 1000: Too many open files")


@pytest.mark.skipif(
    "HEADRACE_SANITIZER" in os.environ, reason="AddressSanitizer itself needs terabytes of address space"
)
@measures_memory
def test_more_threads_than_there_can_be_are_refused() -> None:
    import resource

    def little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))  # a thread's stack takes 8 MiB of it

    error = refusal("run", "-j", "1000", "--call", "builtins:str", preexec_fn=little_memory)
    assert "headrace: cannot start so many consumers: can't start new thread (lower -j)\n" in error


@pytest.mark.parametrize(
    "line",
    [
        *("cat '{}'", 'cat "{}"', 'echo "a {} b"', "echo 'it is' '{}'", """echo "$(cat '{}')\""""),
        # What is in an item would be run.
        *("echo \\{}", "echo `cat {}`", "echo `cat '{/.}'`", "cat <<END\n{}\nEND", "echo '{#}'"),
    ],
)
def test_a_placeholder_within_quotes_is_refused(line: str) -> None:
    error = refusal("run", "--shell", line)
    assert "write {} without quotes around it" in error


@pytest.mark.parametrize(
    "line",
    [
        *('echo "$(echo {})"', 'echo "it\'s" {}', "echo \\' {}", "echo 'a'{}'b'", "echo $(echo {}) {}"),
        *("echo `date` {}", "echo \\\\{}", "cat <<< {}", "awk '{print}' {}", "echo \"$(echo 'a')\" {/.}"),
    ],
)
def test_a_placeholder_beside_quotes_is_filled_in(line: str) -> None:
    from headrace.cli.placeholder import is_within_quotes
    from headrace.cli.vocabulary import PLAIN

    assert not is_within_quotes(PLAIN.pieces(line.encode()))


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("echo {} | wc -l", "did you mean --shell 'echo {} | wc -l'?"),
        ("no-such-program {}; true", "did you mean --shell"),
        ("gzip<{}", "did you mean --shell"),
        ("wc -l {}", "Write it without the quotes (wc -l {}), or with --shell."),
        ("wc -l", "Write it without the quotes (wc -l), or with --shell."),
        ("wc -l /etc/passwd", "Write it without the quotes"),
        ("cat | wc -l", "did you mean --shell 'cat | wc -l'?"),
    ],
)
def test_a_line_for_a_shell_in_place_of_a_command_is_refused_with_what_to_write(line: str, advice: str) -> None:
    error = refusal("run", line, ":::", "a", "b", status=127)
    assert error.startswith("headrace: ")
    assert advice in error
    assert error.count("\n") == 1
    assert "wdctl" not in error


def test_a_program_with_a_blank_in_its_name_is_run(tmp_path: Path) -> None:
    program = tmp_path / "my tools" / "say it"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho it\n")
    program.chmod(0o755)
    assert headrace("run", "./my tools/say it", ":::", "a", cwd=tmp_path).stdout == b"it\n"
    assert headrace("run", "./my tools/{}", ":::", "say it", cwd=tmp_path).stdout == b"it\n"


@pytest.mark.parametrize(
    "command",
    [
        *(["sh", "-c", "echo {}"], ["bash", "-ec", "cat '{}'"], ["/bin/sh", "-e", "-c", "echo {/.}"]),
        *(["env", "A=b", "nice", "-n", "5", "sh", "-c", "echo {}"], ["timeout", "5s", "dash", "-c", "echo {}"]),
        *(["sh", "-c", "echo {} {#}", "sh"], ["zsh", "-lc", "echo {}"]),
    ],
)
def test_a_placeholder_in_the_program_of_a_shell_is_refused_with_two_other_ways(command: list[str]) -> None:
    error = refusal("run", *command)
    assert "which would run what an item says. Use --shell LINE" in error
    assert "-c '… \"$1\" …'" in error


def test_a_field_in_the_program_of_a_shell_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("name\n$(touch bad)\n")
    done = headrace("run", "--csv", "--input", "users", "sh", "-c", "echo {name}", stdin=None, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "which would run what an item says" in done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (["sh", "-c", 'echo "$1"', "sh", "{}"], b"echo a\n"),
        (["sh", "-c", "{}"], b"a\n"),
        (["sh", "-c"], b"a\n"),
        (["sh", "-c", "echo {#}", "sh", "{}"], b"1\n"),
        (["printf", "%s\n", "sh", "-c", "echo {}"], b"sh\n-c\necho echo a\n"),
        (["sh", "-c", "f() { echo ${x-b}; }; f", "{}"], b"b\n"),
    ],
)
def test_an_item_beside_the_program_of_a_shell_is_filled_in(command: list[str], out: bytes) -> None:
    done = headrace("run", *command, stdin=b"echo a\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, out, b"")


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("./m.py:up", "write m:up"),
        ("m.py:up", "write m:up"),
        ("sub/m.py:up", "write sub.m:up"),
        ("sub/m:up", "write sub.m:up"),
        (".m:up", "write m:up"),
        ("../m.py:up", "write m:up in the folder that it is in, or with that on PYTHONPATH"),
        ("/tmp/m.py:up.down", "write m:up.down in the folder that it is in, or with that on PYTHONPATH"),
    ],
)
def test_a_file_in_place_of_a_module_is_refused_with_the_modules_name(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / "m.py").write_text("up = str.upper\n")
    error = refusal("run", "--call", name, cwd=tmp_path)
    assert error.startswith(f"headrace: --call {name!r}: a module is named as `import` names it, not by its file: ")
    assert error.endswith(f"{advice}\n")


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        *((["--jobs", "3"], "Did you mean '-j'?"), (["--jobs=3"], "Did you mean '-j'?")),
        *(
            (["-P", "3"], "Did you mean '-j'?"),
            (["-P3"], "Did you mean '-j'?"),
            (["--bar"], "Did you mean '--progress'?"),
        ),
        *((["-n1"], "a command gets one item, always"), (["-I{}"], "{} stands for the item, always")),
    ],
)
def test_an_option_of_xargs_or_parallel_is_refused_with_its_name_here(option: list[str], advice: str) -> None:
    error = refusal("run", *option, "echo")
    assert advice in error
    assert "--joblog" not in error


def test_a_second_input_is_refused() -> None:
    error = refusal("run", "--input", "a", "--input", "b", "echo")
    assert "--input 'a' and --input 'b': there is one input" in error
