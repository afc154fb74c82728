"""What the documents show must work, and what they name must be there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = "README.md") -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


EXAMPLES = [
    pytest.param(code, id=f"{page}-{number}")
    for page in ("README.md", "docs/durable.md", "docs/event-loops.md")
    for number, code in enumerate(blocks("python", page))
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_each_python_example_runs_and_ends(code: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        # From the checkout as from an installed package.
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    if "squares" in code:
        assert ran.stdout == f"{[n * n for n in range(10)]}\n"
    for line, told in printed(code):
        assert told in ran.stdout, line


def printed(code: str) -> list[tuple[str, str]]:
    """The lines that print something, with what the comment behind them says that is; where that is always the same."""
    found = re.findall(r"^( *print\(.*\))  # (.*)$", code, re.MULTILINE)
    return [(line, told) for line, told in found if told[0] in "0123456789O" and "items" not in told]


def test_the_readme_opens_with_the_two_commands() -> None:
    assert blocks("console")[0].split()[1:3] == ["make", "demo"]
    assert "make test" in blocks("console")[0]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/guarantees.md",
        "docs/guide.md",
        "docs/durable.md",
        "docs/event-loops.md",
    ],
)
def test_each_link_to_a_file_leads_to_one(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    assert targets or page not in ("README.md", "CONTRIBUTING.md")
    missing = [t for t in targets if not ((ROOT / page).parent / t).exists()]
    assert missing == []


def sources_of_proof() -> str:
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "src" / "headrace" / "testing").rglob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sources)


def test_each_guarantee_names_a_test_that_exists() -> None:
    sources = sources_of_proof()
    named = re.findall(r"`((?:test_|an?_|the_)\w+)`", GUARANTEES)
    assert len(named) > 20
    assert [name for name in named if f"def {name}(" not in sources] == []


def test_each_file_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    files = set(re.findall(r"`([\w/]+\.(?:c|h|py))`", text))
    present = {path.name for folder in ("csrc", "src", "tests") for path in (ROOT / folder).rglob("*")}
    assert [name for name in files if Path(name).name not in present] == []
