"""Finds the function that ``--call module:function`` names, before anything is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from headrace.cli.nearest import did_you_mean
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

__all__ = ["find_function"]


def find_function(name: str) -> Callable[[str], Any]:
    """The function that *name*, ``module:function``, stands for. Imports the module.

    The current directory is importable, as with ``python -m``; ``module`` and ``function`` may have dots.

    Raises:
        Refused: there is no such module or function, it cannot be called, or the import raised (the message
            is then that error, with its traceback).
    """
    module_name, colon, attributes = name.partition(":")
    if not (module_name and colon and attributes):
        raise Refused(f"--call {name!r}: write it as module:function, for example os.path:basename")
    _make_current_directory_importable()
    found: Any = _import(module_name)
    where = module_name
    for attribute in attributes.split("."):
        found = _attribute(found, attribute, where)
        where = f"{where}.{attribute}"
    if not callable(found):
        raise Refused(f"--call {name!r}: that is {type(found).__name__}, not a function")
    if iscoroutinefunction(found):
        raise Refused(
            f"--call {name!r}: coroutine functions cannot be called yet; wrap it: asyncio.run({found.__name__}(item))"
        )
    function: Callable[[str], Any] = found
    return function


def _make_current_directory_importable() -> None:
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not _is_within(name, error.name):
            raise _refused_import(name, error) from error
        package = error.name.rpartition(".")[0]
        near = did_you_mean(error.name, _module_names(package))
        raise Refused(f"there is no module {error.name!r}.{near}") from error
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit too: a script without `if __name__ == "__main__"` raises it
        raise _refused_import(name, error) from error


def _is_within(name: str, package: str) -> bool:
    """Whether *package* is *name* or one of the packages around it."""
    return f"{name}.".startswith(f"{package}.")


def _attribute(owner: object, name: str, where: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        known = [each for each in dir(owner) if callable(getattr(owner, each, None))]
        raise Refused(f"{where!r} has no {name!r}.{did_you_mean(name, known)}") from None


def _refused_import(name: str, error: BaseException) -> Refused:
    import traceback

    story = traceback.TracebackException(type(error), error, _users_part(error.__traceback__))
    return Refused(f"module {name!r} cannot be imported:\n{''.join(story.format()).rstrip()}")


def _users_part(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither ours nor the import system's."""
    ours = (__file__, import_module.__code__.co_filename)
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if file not in ours and not file.startswith("<frozen importlib"):
            break
        frames = frames.tb_next
    return frames


def _module_names(package: str) -> list[str]:
    """The names of what can be imported: out of *package*, or at the top where that is empty."""
    from pkgutil import iter_modules

    if not package:
        return [*sys.builtin_module_names, *sys.stdlib_module_names, *(each.name for each in iter_modules())]
    paths = getattr(sys.modules.get(package), "__path__", None)
    return [f"{package}.{each.name}" for each in iter_modules(paths)] if paths else []
