"""Builds the C core and the bell; everything else about the package is in pyproject.toml.

The environment steers the build:

HEADRACE_REQUIRE_C=1       C that does not build is an error (without it the pure-Python twin is installed alone)
HEADRACE_WERROR=1          warnings are errors
HEADRACE_DEBUG=1           -O1 -g and assertions on: the C core checks its own consistency after each change
HEADRACE_PARKER=python     threads sleep in Python's own locks, and the bell polls, as on systems other than Linux
                           (for testing that there)
HEADRACE_SANITIZE=a,b      build with -fsanitize=a,b (and as HEADRACE_DEBUG)
"""

import os
import sys
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# gnu11: strict c11 hides the monotonic clock and what else POSIX adds to the standard headers.
# Hidden symbols: functions of different files call each other directly, and none can be mistaken for another library's.
GNU_FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-fvisibility=hidden"]
MSVC_FLAGS = ["/std:c11", "/experimental:c11atomics", "/W3"]


def is_set(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


SANITIZERS = os.environ.get("HEADRACE_SANITIZE", "")
DEBUG = is_set("HEADRACE_DEBUG") or bool(SANITIZERS)
PORTABLE_PARKER = os.environ.get("HEADRACE_PARKER", "") == "python"


def gnu_flags() -> tuple[list[str], list[str]]:
    """Flags for gcc and clang: to compile, to link."""
    compile_flags = [*GNU_FLAGS, *(["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"] if DEBUG else ["-O3"])]
    link_flags = []
    if is_set("HEADRACE_WERROR"):
        compile_flags.append("-Werror")
    if SANITIZERS:
        compile_flags += [f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"]
        link_flags.append(f"-fsanitize={SANITIZERS}")
    return compile_flags, link_flags


def msvc_flags() -> tuple[list[str], list[str]]:
    """Flags for Microsoft's compiler: to compile, to link."""
    compile_flags = [*MSVC_FLAGS, *(["/Od", "/Zi", "/UNDEBUG"] if DEBUG else ["/O2"])]
    if is_set("HEADRACE_WERROR"):
        compile_flags.append("/WX")
    if SANITIZERS:
        compile_flags += [f"/fsanitize={name}" for name in SANITIZERS.split(",")]
    return compile_flags, []


class BuildCore(build_ext):
    """Gives each extension the flags of the compiler that was found."""

    def build_extensions(self) -> None:
        flags = msvc_flags if self.compiler.compiler_type == "msvc" else gnu_flags
        for extension in self.extensions:
            extension.extra_compile_args, extension.extra_link_args = flags()
        super().build_extensions()


def extension(name: str, folder: str, portable: str) -> Extension:
    """The C module of the sources in *folder*; the macro *portable* has it sleep as on systems other than Linux."""
    return Extension(
        name,
        sources=sorted(glob(f"{folder}/*.c")),
        include_dirs=["csrc"],
        define_macros=[(portable, "1")] if PORTABLE_PARKER else [],
        depends=[*sorted(glob("csrc/*.h")), *sorted(glob("csrc/bell/*.h")), "setup.py"],
        optional=not is_set("HEADRACE_REQUIRE_C"),
    )


def extensions() -> list[Extension]:
    """The C modules, for CPython only: others run the pure-Python twins faster than C behind an emulated API."""
    if not glob("csrc/*.c") or sys.implementation.name != "cpython":
        return []
    return [
        extension("headrace.backends.memory._core", "csrc", "HR_PARKER_PYTHREAD"),
        extension("headrace.backends.sqlite._bell", "csrc/bell", "HR_BELL_POLL"),
    ]


def options() -> dict[str, dict[str, object]]:
    """A special build has a folder of its own: its objects must never be taken for those of a normal one."""
    if SANITIZERS:
        return {"build": {"build_base": "build/sanitize-" + SANITIZERS.replace(",", "-")}}
    for kind in ("HEADRACE_PARKER", "HEADRACE_DEBUG", "HEADRACE_WERROR"):
        if is_set(kind):
            return {"build": {"build_base": "build/" + kind.lower()}}
    return {}


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildCore}, options=options())
