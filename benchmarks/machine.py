"""What the figures depend on and a reader has to know. It names no path and no host."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path

import headrace
from benchmarks.contenders import absent_peers, peer_versions
from benchmarks.process import ROOT

__all__ = ["describe", "load_warning", "stolen_seconds"]

CALM = 0.25  # load for each core, up to which the machine counts as left alone
MEASURED = ["src", "csrc", "benchmarks", "setup.py"]  # a change here makes figures of the commit wrong


def describe() -> dict[str, str]:
    """Facts, by the name under which the page shows them."""
    peers = [f"{name} {version}" for name, version in peer_versions().items()]
    peers += [f"{name} is not installed" for name in absent_peers()]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "headrace": f"{headrace.__version__}, commit {_commit()}, implementation: {headrace.implementation}",
        "processor": f"{_processor()}, {_cores()}",
        "virtual machine": _virtual(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {_build()}",
        "switch interval": f"{sys.getswitchinterval() * 1e3:g} ms",
        "peers": ", ".join(peers),
    }


def load_warning() -> str | None:
    """A sentence where other work disturbs the figures; None where the machine is quiet or does not tell."""
    if not hasattr(os, "getloadavg"):
        return None
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= CALM * cores:
        return None
    return f"The machine was not quiet: its load average at the start was {load:.2f} on {cores} cores."


def stolen_seconds() -> float | None:
    """Processor time that the hypervisor has given to others since the system started; None where it does not tell."""
    first_line = _first_line("/proc/stat").split()
    return int(first_line[8]) / os.sysconf("SC_CLK_TCK") if len(first_line) > 8 else None


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().partition("\n")[0]
    except OSError:
        return ""


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _processor() -> str:
    return _cpuinfo("model name") or _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()


def _cores() -> str:
    cores = os.cpu_count()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return f"{cores} cores" if cores == usable else f"{usable} of {cores} cores"


def _virtual() -> str:
    if not _cpuinfo("flags"):
        return "unknown"
    return "yes, the processor names a hypervisor" if "hypervisor" in _cpuinfo("flags") else "no"


def _build() -> str:
    gil = "free-threaded build" if sysconfig.get_config_var("Py_GIL_DISABLED") else "build with the GIL"
    # Only known options are told: the others hold paths.
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    known = {"--enable-optimizations": "PGO", "--with-lto": "LTO", "--with-pydebug": "debug"}
    used = [name for option, name in known.items() if option in options] or ["no PGO, no LTO"]
    return f"{gil}, {', '.join(used)}, {platform.python_compiler()}"


def _commit() -> str:
    commit = _output("git", "rev-parse", "--short=10", "HEAD") or "unknown"
    changed = _output("git", "status", "--porcelain", "--", *MEASURED)
    return f"{commit} with changes" if changed else commit


def _output(*command: str) -> str:
    """What *command* prints, or nothing where it is not there or fails."""
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
