"""What `import headrace` brings along, and what it costs."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import pytest

from conftest import UNDER_SANITIZER


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("implementation", ["c", "python"])
def test_no_third_party_module_comes_along(implementation: str) -> None:
    code = (
        "import sys; before = set(sys.modules); import headrace; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)), 'typing' in set(sys.modules) - before)"
    )
    ran = run(code, HEADRACE_IMPL=implementation)
    assert ran.stdout == "['headrace'] False\n", ran.stderr


def test_one_implementation_can_be_picked() -> None:
    for name in ("c", "python"):
        assert run("import headrace; print(headrace.implementation)", HEADRACE_IMPL=name).stdout == f"{name}\n"


def test_an_unknown_implementation_is_refused() -> None:
    ran = run("import headrace", HEADRACE_IMPL="rust")
    assert ran.returncode == 1
    assert ran.stderr.endswith("ImportError: HEADRACE_IMPL='rust': write 'c' or 'python', or leave it unset\n")


def test_a_picked_implementation_that_cannot_be_loaded_is_an_error() -> None:
    ran = run("import sys; sys.modules['headrace.backends.memory._core'] = None; import headrace", HEADRACE_IMPL="c")
    assert ran.returncode == 1
    assert "no C core" in ran.stderr
    fallback = run(
        "import sys; sys.modules['headrace.backends.memory._core'] = None; import headrace; "
        "print(headrace.implementation)",
        HEADRACE_IMPL="",
    )
    assert fallback.stdout == "python\n"


@pytest.mark.skipif(UNDER_SANITIZER, reason="costs nothing like it without one")
def test_it_takes_less_than_15_ms_more_than_queue_and_threading() -> None:
    code = (
        "import time; begin = time.perf_counter(); import queue, threading; middle = time.perf_counter(); "
        "import headrace; print(time.perf_counter() - middle)"
    )
    assert statistics.median(float(run(code).stdout) for _ in range(7)) < 0.015


def test_a_queue_is_opened_by_its_url() -> None:
    import headrace

    queue = headrace.open("memory:", maxsize=2)
    assert isinstance(queue, headrace.Queue)
    assert queue.maxsize == 2
    for url in ("memory:name", "memory", "", ":", 7):
        with pytest.raises(headrace.InvalidURL):
            headrace.open(url)  # type: ignore[arg-type]
    with pytest.raises(headrace.NotSupported, match="not in this version"):
        headrace.open("redis://localhost")
