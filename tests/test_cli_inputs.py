"""What ``headrace run`` is fed: placeholders, records, several inputs, standard input; and ``--dry-run``."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cli_support import HEADRACE, eventually, headrace, running
from test_cli_run import ODD_ITEMS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="headrace run is for POSIX systems")


def run(*arguments: str | bytes | Path, stdin: bytes = b"", **options: object) -> bytes:
    """The output of a run, one item after the other, that succeeds and says nothing."""
    done = headrace("run", "-j1", *arguments, stdin=stdin, **options)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def failed(*arguments: str, stdin: bytes = b"", **options: object) -> tuple[bytes, list[str]]:
    """The output of a run in which items fail, and why each did."""
    done = headrace("run", "-j1", *arguments, stdin=stdin, **options)
    assert done.returncode == 1
    return done.stdout, done.stderr.decode().splitlines()[:-1]


def refused(*arguments: str, stdin: bytes = b"", **options: object) -> str:
    done = headrace("run", *arguments, stdin=stdin, **options)
    assert (done.returncode, done.stdout) == (2, b""), done
    return done.stderr.decode()


def parallel(*arguments: str, stdin: bytes = b"") -> bytes:
    """What GNU parallel prints, in order."""
    program = shutil.which("parallel")
    if program is None or b"GNU" not in subprocess.run([program, "--version"], capture_output=True, check=False).stdout:
        pytest.skip("there is no GNU parallel to compare with")
    command = [program, "--will-cite", "--keep-order", "--jobs", "1", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=True).stdout


# Placeholders.

PATHS = [
    *("a.b", ".bashrc", "dir.x/file", "a.", "a..b", "d/a.tar.gz", "/a", "/", "a/", "a/b/", "a//b", ".", "..", "d/.x"),
    *("two words/x y.z", "//a", "a/b//", "é.ü"),
]


def test_parts_of_a_path_are_what_they_are_to_parallel() -> None:
    paths = "".join(f"{path}\n" for path in PATHS).encode()
    words = "[{}] [{.}] [{/}] [{//}] [{/.}]"
    assert run("echo", words, stdin=paths) == parallel("echo", words, stdin=paths)


def test_the_number_of_an_item_counts_from_one() -> None:
    assert run("echo", "{#}:{}", stdin=b"a\n\nb\n") == b"1:a\n2:\n3:b\n"


def test_an_item_is_not_added_where_a_part_of_it_is_named() -> None:
    assert run("echo", "{/}", stdin=b"a/b\n") == b"b\n"
    assert run("echo", "{#}", stdin=b"a/b\n") == b"1\n"


@pytest.mark.parametrize("text", ["{x}", "{print $1}", "a{2}", "{ }", "${1}", "{1}", "{1,2}", "{name/.}", "{", "}{"])
def test_what_is_no_placeholder_stays_as_it_is(text: str) -> None:
    assert run("echo", text, "{}", stdin=b"i\n") == f"{text} i\n".encode()


def test_a_program_of_awk_may_have_braces() -> None:
    assert run("awk", "{x}; {print x NR}", "{}", stdin=b"/dev/null\n") == b""
    assert run("--stdin", "awk", "{n += $1} END {print n}", stdin=b"3\n4\n") == b"3\n4\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{./}", "there is no placeholder {./}. Did you mean"),
        ("{##}", "Did you mean '{#}'"),
        ("{...}", "'{.}'"),
        ("{%}", "there is no placeholder {%}."),
    ],
)
def test_a_placeholder_that_there_is_not_is_refused_with_the_nearest_one(text: str, expected: str) -> None:
    assert expected in refused("echo", text)


def test_the_program_may_be_part_of_an_item() -> None:
    assert run("{/}", "x", stdin=b"somewhere/echo\n") == b"x\n"


@pytest.mark.parametrize("placeholder", ["{}", "{.}", "{/}"])
def test_the_shell_reads_each_part_of_an_item_as_one_word(placeholder: str) -> None:
    items = [item for item in ODD_ITEMS if len(item) < 1000 and b"." not in item and b"/" not in item]
    out = run("--shell", f"printf '<%s>\\n' {placeholder}", stdin=b"\n".join(items) + b"\n")
    assert out == b"".join(b"<%s>\n" % item for item in items)


# Records.

CSV = 'name,the size,n\r\n"a, b",1,x\r\n\r\n"two\r\nlines",2,""\r\n"a ""quote""",3, spaced \r\n'


def test_fields_of_csv_have_the_names_of_the_header() -> None:
    out = run("--csv", "printf", "%s|", "{#}", "{name}", "{the size}", "{n}", "{1}", stdin=CSV.encode())
    assert out == b'1|a, b|1|x|a, b|2|two\r\nlines|2||two\r\nlines|3|a "quote"|3| spaced |a "quote"|'


def test_the_item_is_the_whole_record() -> None:
    assert run("--csv", "printf", "<%s>", stdin=CSV.encode()) == (
        b'<"a, b",1,x><"two\r\nlines",2,""><"a ""quote""",3, spaced >'
    )


def test_a_file_of_csv_written_by_python_is_read_as_python_reads_it(tmp_path: Path) -> None:
    rows = [[text, str(number), text[::-1]] for number, text in enumerate(["a", "b\nc", 'q"', ",", "", "'", "$x", "é"])]
    file = tmp_path / "rows.csv"
    with open(file, "w", newline="", encoding="utf-8") as written:
        csv.writer(written).writerows([["first", "second", "third"], *rows])
    out = run("--csv", "--input", file, "printf", "%s\\0", "{first}", "{second}", "{third}")
    assert out.decode().split("\0")[:-1] == [field for row in rows for field in row]


def test_parts_of_fields_are_as_of_items() -> None:
    out = run("--csv", "echo", "{file/.}", "{file//}", "{2.}", stdin=b"n,file\n1,d/a.txt\n")
    assert out == b"a d d/a\n"


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert run("--csv", "echo", "{a}", stdin=b"\xef\xbb\xbfa,b\n1,2\n") == b"1\n"
    assert run("--jsonl", "echo", "{a}", stdin=b'\xef\xbb\xbf{"a": 1}\n') == b"1\n"


def test_fields_may_have_any_bytes() -> None:
    assert run("--csv", "echo", "{b}{a}", stdin=b"a,b\n\xff,\xfe\x01\n") == b"\xfe\x01\xff\n"
    assert run("--jsonl", "echo", "{a}", stdin=b'{"a": "\xff\\u00e9"}\n') == b"\xff\xc3\xa9\n"


def test_quotes_mean_nothing_in_tsv() -> None:
    out = run("--tsv", "echo", "{height}|{name}", stdin=b'name\theight\n5" pipe\t"x\n')
    assert out == b'"x|5" pipe\n'


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"one", "line 3 is no record: it has 1 fields, the header has 2"),
        (b"1,2,3", "line 3 is no record: it has 3 fields, the header has 2"),
        (b'"a"b,c', "line 3 is no record: ',' expected after '\"'"),
        (b"a\rb,c", "line 3 is no record: new-line character seen in unquoted field"),
    ],
)
@pytest.mark.parametrize("placeholder", ["{a}", "{}", "{#}", "x{2}"])
def test_a_bad_record_of_csv_fails_alone_and_tells_its_line(record: bytes, why: str, placeholder: str) -> None:
    _, reasons = failed("--csv", "echo", placeholder, stdin=b"a,b\n1,2\n" + record + b"\n3,4\n")
    assert len(reasons) == 1
    assert why in reasons[0]


def test_a_quote_that_stays_open_fails_at_the_line_where_it_began() -> None:
    out, reasons = failed("--csv", "echo", "{a}", stdin=b'a,b\n1,2\n"open,3\n4,5\n')
    assert out == b"1\n"
    assert "line 3 is no record: unexpected end of data" in reasons[0]


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    error = refused("--csv", "echo", "{nmae}", stdin=b"name,size\n1,2\n")
    assert "{nmae}: the header has no 'nmae'. Did you mean 'name'?" in error


def test_what_is_no_name_stays_as_it_is_beside_records() -> None:
    assert run("--csv", "echo", "{print $1}", "{ x }", "{a}", stdin=b"a\n1\n") == b"{print $1} { x } 1\n"


def test_a_header_that_names_two_fields_alike_is_refused() -> None:
    assert "has 'a' twice" in refused("--csv", "echo", "{a}", stdin=b"a,b,a\n1,2,3\n")


def test_a_header_alone_and_no_header_run_nothing() -> None:
    assert run("--csv", "echo", "{a}", stdin=b"a\n") == b""
    assert run("--csv", "echo", stdin=b"") == b""


JSON_LINES = rb"""
{"name": "a b", "l": ["x", {"y": null}], "n": 1.5, "b": 12345678901234, "yes": true, "no": null, "o": {"p": {"q": "u"}}}

{"name": "line\nbreak", "l": "\u00e9", "n": -1, "b": 0, "yes": false, "no": "", "o": {"p": {"q": 7}}}
"""


def test_values_of_json_are_strings_as_they_are_and_json_otherwise() -> None:
    words = ["{name}", "{l}", "{n}", "{b}", "{yes}", "{no}", "{o.p.q}", "{o.p}"]
    out = run("--jsonl", "printf", "%s|", *words, stdin=JSON_LINES)
    first = 'a b|["x",{"y":null}]|1.5|12345678901234|true||u|{"q":"u"}|'
    assert out.decode() == first + 'line\nbreak|é|-1|0|false||7|{"q":7}|'


def test_a_missing_name_fails_its_item_with_the_nearest_one() -> None:
    out, reasons = failed("--jsonl", "echo", "{name}", stdin=b'{"nmae": 1}\n{"name": 2}\n')
    assert out == b"2\n"
    assert reasons == ["""headrace: item '{"nmae": 1}' failed: it has no 'name'. Did you mean 'nmae'?"""]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a": }', "line 2 is no JSON: Expecting value: line 1 column 7"),
        (b"[1]", "line 2 is no record: it is an array, not an object"),
        (b'"a"', "it is a string"),
        (b"12", "it is a number"),
        (b"null", "it is null"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_a_bad_line_of_json_fails_alone_and_tells_its_line(line: bytes, why: str) -> None:
    out, reasons = failed("--jsonl", "echo", "{a}", stdin=b'{"a": 1}\n' + line + b'\r\n{"a": 3}\r\n')
    assert out == b"1\n3\n"
    assert len(reasons) == 1
    assert why in reasons[0]


def test_a_function_gets_a_record_as_a_dictionary(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text("import json\ndef dump(record): return json.dumps(record, sort_keys=True)\n")
    found = run("--jsonl", "--call", "functions:dump", stdin=JSON_LINES, cwd=tmp_path).splitlines()
    assert [json.loads(line) for line in found] == [json.loads(line) for line in JSON_LINES.splitlines() if line]
    rows = run("--csv", "--call", "functions:dump", stdin=CSV.encode(), cwd=tmp_path).splitlines()
    assert [json.loads(row) for row in rows] == list(csv.DictReader(io.StringIO(CSV, newline="")))


def test_a_bad_record_does_not_reach_the_function() -> None:
    out, reasons = failed("--csv", "--call", "builtins:len", stdin=b"a,b\n1,2\n3\n")
    assert out == b"2\n"
    assert reasons == ["headrace: item '3' failed: line 3 is no record: it has 1 fields, the header has 2"]


def test_records_are_taken_as_they_come() -> None:
    with running("run", "-j1", "--csv", "echo", "{a}") as process:
        assert process.process.stdin is not None
        assert process.process.stdout is not None
        process.process.stdin.write(b"a,b\n1,")
        process.process.stdin.flush()
        process.process.stdin.write(b"2\n3")
        process.process.stdin.flush()
        assert process.process.stdout.readline() == b"1\n"
        process.process.stdin.write(b",4\n")
        process.process.stdin.close()
        assert process.process.stdout.readline() == b"3\n"


@pytest.mark.skipif(not os.path.exists("/proc/self/syscall"), reason="needs /proc to see a process wait")
@pytest.mark.parametrize("words", [["--csv", "echo"], ["echo", ":::", "a", "::::", "-"]])
def test_ctrl_c_is_quiet_while_what_is_needed_first_is_waited_for(words: list[str]) -> None:
    with running("run", *words) as process:
        # It waits for its standard input, and has nothing to do otherwise.
        eventually(lambda: waits_in_poll(process.process.pid))
        process.send(signal.SIGINT)
        assert process.end() == (130, b"", b"")


def waits_in_poll(pid: int) -> bool:
    # The number of poll on x86, or of ppoll on ARM, which has no other.
    number = {"x86_64": "7", "aarch64": "73"}.get(platform.machine())
    return number is None or Path(f"/proc/{pid}/syscall").read_text().split()[0] == number


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--csv", "--jsonl", "echo"], "--csv and --jsonl"),
        (["--csv", "-0", "echo"], "-0 means nothing"),
        (["--csv", "echo", ":::", "a"], "--csv reads records from one input"),
        (["--input", "x", "echo", ":::", "a"], "the items come from ::: and ::::"),
        (["echo", "::::", "-", "-"], "standard input can be one input only"),
        (["echo", "::::", "/nonexistent/file"], ":::: '/nonexistent/file': No such file or directory"),
        (["echo", "{3}", ":::", "a", ":::", "b"], "{3}: there are 2 values for an item, {1} to {2}"),
        (["echo", "{2}", ":::", "a"], "{2}: there is 1 value for an item, {1}\n"),
        (["--stdin", "--call", "builtins:str"], "--call and --stdin"),
        (["--dead", "x", "echo", ":::", "a", ":::", "b"], "--dead keeps items of one input"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], expected: str) -> None:
    assert expected in refused(*arguments)


# Several inputs.


@pytest.mark.parametrize(
    "words",
    [
        "echo ::: a b ::: 1 2 3",
        "echo {2} {1} {2} ::: a b ::: 1 2 3",
        "echo x{}y ::: a b ::: 1 2",
        "echo {} ::: a b :::+ 1 2 ::: p q",
        "echo {#} {1/.} {2//} ::: a/b.c ::: d/e",
        "echo {.} {/} ::: a/b.c d ::: e/f.g",
        "echo :::: letters ::: 1 2",
        "echo :::: letters numbers",
        "echo {2}{1} :::: letters ::::+ numbers ::: z",
        "echo ::: 1 2 :::: -",
        "echo ::: 1 2 :::+ 3 4 5",
    ],
)
def test_several_inputs_are_combined_as_by_parallel(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "letters").write_text("a\nb\n")
    (tmp_path / "numbers").write_text("1\n2\n3\n")
    monkeypatch.chdir(tmp_path)
    ours, theirs = run(*words.split(), stdin=b"x\ny\n"), parallel(*words.split(), stdin=b"x\ny\n")
    assert ours == theirs


def test_values_of_several_inputs_are_arguments_of_their_own() -> None:
    assert run("printf", "<%s>", ":::", "a b", "", ":::", "c") == b"<a b><c><><c>"
    assert run("printf", "<%s>", "{}", ":::", "a b", ":::", "c") == b"<a b><c>"
    assert run("printf", "<%s>", "-{}-", ":::", "a b", ":::", "c") == b"<-a b c->"


def test_the_shell_gets_the_values_of_several_inputs_quoted() -> None:
    words = ["--shell", "printf '<%s>'", "{}", "{2}{1}", ":::", "a'b", ":::", "$HOME *"]
    assert run(*words) == b"<a'b><$HOME *><$HOME *a'b>"


def test_a_function_gets_an_argument_for_each_input() -> None:
    assert run("--call", "os.path:join", ":::", "a", "b", ":::", "c") == b"a/c\nb/c\n"
    assert "it is called with 2 arguments" in refused("--call", "os.path:basename", ":::", "a", ":::", "b")


def test_an_input_without_values_runs_nothing() -> None:
    assert run("echo", ":::", stdin=b"x\n") == b""
    assert run("echo", ":::", "a", "b", "::::", "/dev/null") == b""
    assert run("echo", ":::", "a", "b", ":::") == b""


def test_the_first_input_may_be_endless() -> None:
    with (
        subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless,
        running("run", "-j1", "echo", "::::", "-", ":::", "1", "2", stdin=endless.stdout) as process,
    ):
        assert endless.stdout is not None
        endless.stdout.close()
        assert process.process.stdout is not None
        assert process.process.stdout.readline() + process.process.stdout.readline() == b"y 1\ny 2\n"


def test_a_linked_input_that_ends_ends_an_endless_one() -> None:
    with (
        subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless,
        running("run", "-j1", "echo", "::::", "-", ":::+", "1", "2", stdin=endless.stdout) as process,
    ):
        assert endless.stdout is not None
        endless.stdout.close()
        assert process.end() == (0, b"y 1\ny 2\n", b"")


def test_values_that_failed_can_be_given_again(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    failed("--dead", str(dead), "sh", "-c", "test $0 = b", ":::", "a", "b", "c")
    assert run("echo", "::::", dead) == b"a\nc\n"


def test_records_that_failed_can_be_given_again(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    failed("--csv", "--dead", str(dead), "test", "{a}", "=", "1", stdin=b'a,b\n1,2\n"3\n",4\n')
    assert dead.read_bytes() == b'a,b\n"3\n",4\n'
    assert run("--csv", "--input", dead, "echo", "{b}") == b"4\n"


def test_the_tag_of_an_item_is_its_values() -> None:
    assert run("--tag", "echo", "x", "{1}", ":::", "a", ":::", "b") == b"a b\tx a\n"


def test_items_that_end_with_nul_are_read_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "items").write_bytes(b"a\nb\0c\0")
    assert run("-0", "printf", "<%s>", "::::", tmp_path / "items") == b"<a\nb><c>"


# Standard input.


def test_the_item_is_on_standard_input_with_a_line_break() -> None:
    items = [*ODD_ITEMS, b"x" * (1 << 20)]
    assert run("--stdin", "cat", stdin=b"\n".join(items)) == b"".join(item + b"\n" for item in items)


def test_no_argument_is_added_for_an_item_on_standard_input() -> None:
    assert run("--stdin", "sh", "-c", 'read x; echo "$# $x"', "sh", stdin=b"a\n") == b"0 a\n"
    assert run("--stdin", "sh", "-c", 'read x; echo "$# $1 $x"', "sh", "{#}", stdin=b"a\n") == b"1 1 a\n"
    assert run("--stdin", "--shell", "tr a-z A-Z | rev", stdin=b"ab\ncd\n") == b"BA\nDC\n"


def test_a_command_need_not_read_what_it_is_given() -> None:
    assert run("--stdin", "echo", "x", stdin=b"a\nb\n") == b"x\nx\n"


def test_a_record_on_standard_input_is_whole() -> None:
    assert run("--csv", "--stdin", "cat", stdin=b'a,b\n"1\n",2\n') == b'"1\n",2\n'


# Dry run.


def test_a_dry_run_prints_what_a_shell_runs_alike(tmp_path: Path) -> None:
    items = b"\n".join(item for item in ODD_ITEMS if len(item) < 1000) + b"\n"
    for words in (
        ["printf", "<%s>\\n"],
        ["printf", "[%s]", "{/.}", "{#}"],
        ["--stdin", "cat"],
        ["--shell", "echo {} | cat"],
    ):
        script = run("--dry-run", *words, stdin=items)
        done = subprocess.run(["sh"], input=script, capture_output=True, timeout=60, check=True)
        assert done.stdout == run(*words, stdin=items)


def test_a_dry_run_keeps_the_order_and_runs_nothing(tmp_path: Path) -> None:
    script = run("--dry-run", "-j8", "touch", stdin=b"".join(b"%d\n" % n for n in range(3000)), cwd=tmp_path)
    assert script == b"".join(b"touch %d\n" % n for n in range(3000))
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_shows_the_calls_of_a_function() -> None:
    assert run("--dry-run", "--call", "os.path:join", ":::", "a", ":::", "b'") == b"""os.path.join('a', "b'")\n"""
    assert run("--dry-run", "--call", "builtins:len", "--csv", stdin=b"a\n1\n") == b"builtins.len({'a': '1'})\n"


def test_a_dry_run_tells_what_would_fail() -> None:
    done = headrace("run", "--dry-run", "--jsonl", "echo", "{a}", stdin=b'{"a": 1}\n{"b": 1}\n{"a": "x\\u0000"}\n')
    assert (done.returncode, done.stdout) == (1, b"echo 1\n")
    assert b"it has no 'a'" in done.stderr
    assert b"NUL byte" in done.stderr


def test_a_dry_run_ends_when_nobody_reads_on() -> None:
    script = f"yes | {shlex.join(HEADRACE)} run --dry-run echo | head -n 2"
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (b"echo y\necho y\n", b"")
