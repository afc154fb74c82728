"""Runs this Python anew, for what can be measured only in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "run_python"]

ROOT = Path(__file__).resolve().parent.parent


def run_python(*arguments: str) -> str:
    """What ``python ARGUMENTS`` prints, run in the checkout, so that it finds the package ``benchmarks``."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout
