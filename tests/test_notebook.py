"""The notebook in examples/ runs, and what is saved in it is what it shows."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if os.environ.get("HEADRACE_SANITIZER"):
    pytest.skip("what a sanitizer would find in the kernel and in matplotlib is not ours", allow_module_level=True)

for needed in ("nbclient", "ipykernel", "matplotlib"):
    pytest.importorskip(needed, reason=f"{needed} is not installed: pip install 'headrace[examples]'")

NOTEBOOK = Path(__file__).parent.parent / "examples" / "thread_communication.ipynb"

# In a process of its own: a kernel's client brings an event loop and warnings that are not ours.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("notebook")
    ran = subprocess.run(
        [sys.executable, "-c", EXECUTE, NOTEBOOK, folder / "executed.ipynb"],
        cwd=folder,
        env={**os.environ, "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads((folder / "executed.ipynb").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def saved() -> Any:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


def text_of(notebook: Any) -> str:
    """All that the cells printed and showed as text."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            parts += output.get("text", [])
            for kind in ("text/plain", "text/html"):
                parts += output.get("data", {}).get(kind, [])
    return "".join(parts)


def pictures_in(notebook: Any) -> int:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.fixture(params=["saved", "executed"])
def notebook(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_the_notebook_tells_the_whole_chapter(notebook: Any) -> None:
    text = text_of(notebook)
    assert "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]" in text
    assert "failed: I do not like this one, while handling 4" in text
    assert "item 4 failed 3 times: I never like this one" in text
    assert "<caption>Queue</caption>" in text
    assert text.count("</caption>") == 5  # two queues, and three runs
    assert pictures_in(notebook) == 1


def test_the_pool_in_the_notebook_shows_its_progress_to_the_end(notebook: Any) -> None:
    assert "200/200" in text_of(notebook)
    assert "4 failed" in text_of(notebook)


def test_no_cell_complains(notebook: Any) -> None:
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"] == []


def test_the_saved_notebook_is_executed_from_top_to_bottom_and_small(saved: Any) -> None:
    counts = [cell["execution_count"] for cell in saved["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert NOTEBOOK.stat().st_size < 200_000
    assert str(Path.home()) not in NOTEBOOK.read_text(encoding="utf-8")
