"""The hubs and posts of the pure-Python implementation, under the tests of those of the C core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# What they are asked once: on one kind of loop each, and with Queue alone of the kinds of queues.
CHOSEN = "python and not uvloop and not anyio and not LifoQueue and not PriorityQueue"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("module", ["test_aio.py", "test_aio_cancel.py"])
def test_the_tests_pass_where_all_is_python(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", CHOSEN, str(HERE / module)],
        env={**os.environ, "HEADRACE_IMPL": "python"},
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1].split()[0]) >= 100
