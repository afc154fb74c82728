"""Finds the function that ``--call module:function`` names, before anything is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headrace.cli.nearest import did_you_mean
from headrace.cli.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType

__all__ = ["find_function", "is_coroutine_function"]


def find_function(name: str, arguments: int = 1) -> Callable[..., Any]:
    """The function that *name*, ``module:function``, stands for. Imports the module.

    It will be called with so many *arguments*. The current directory is importable, as with ``python -m``; ``module``
    and ``function`` may have dots.

    Raises:
        Refused: there is no such module or function, it cannot be called with an item, or the import raised
            (the message is then that error, with its traceback).
    """
    module_name, colon, attributes = name.partition(":")
    if not (module_name and colon and attributes):
        raise Refused(f"--call {name!r}: write it as module:function, for example os.path:basename")
    _refuse_a_file(name, module_name, attributes)
    _make_current_directory_importable()
    found: Any = _import(module_name)
    where = module_name
    for attribute in attributes.split("."):
        found = _attribute(found, attribute, where)
        where = f"{where}.{attribute}"
    if not callable(found):
        raise Refused(f"--call {name!r}: that is {type(found).__name__}, not a function")
    _check_kind(found, name)
    _check_signature(found, name, arguments)
    function: Callable[..., Any] = found
    return function


def _refuse_a_file(name: str, module_name: str, attributes: str) -> None:
    """Refuse the path of a module in place of its name."""
    is_file = module_name.endswith(".py") and os.path.isfile(module_name)
    if not (is_file or os.sep in module_name or module_name.startswith(".")):
        return
    path = os.path.normpath(module_name).removesuffix(".py")
    parts = path.split(os.sep) if os.sep in module_name else path.lstrip(".").split(".")
    if all(part.isidentifier() for part in parts):
        advice = f"write {'.'.join(parts)}:{attributes}"
    else:
        advice = f"write {parts[-1]}:{attributes} in the folder that it is in, or with that on PYTHONPATH"
    raise Refused(f"--call {name!r}: a module is named as `import` names it, not by its file: {advice}")


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it only makes a coroutine, which somebody has to run."""
    from inspect import iscoroutinefunction

    return any(map(iscoroutinefunction, _forms(function)))


def _check_kind(function: Callable[..., Any], name: str) -> None:
    from inspect import isasyncgenfunction, isgeneratorfunction

    for form in _forms(function):
        if isgeneratorfunction(form) or isasyncgenfunction(form):
            raise Refused(
                f"--call {name!r}: that is a generator function, and calling one runs nothing of it: "
                "let it return what it yields, '\\n'.join(…) for lines"
            )


def _forms(function: Callable[..., Any]) -> tuple[Any, ...]:
    """What says of which kind a function is: itself, and of an object that can be called its method."""
    return (function,) if isinstance(function, type) else (function, type(function).__call__)


def _check_signature(function: Callable[..., Any], name: str, arguments: int) -> None:
    """Refuse what no item can be given to."""
    from inspect import signature

    try:
        takes = signature(function)
    except (ValueError, TypeError):
        return  # a built-in one, that does not tell
    try:
        takes.bind(*[None] * arguments)
    except TypeError as error:
        given = "one argument, the item" if arguments == 1 else f"{arguments} arguments, one an input"
        raise Refused(f"--call {name!r}: it is called with {given}, and takes {takes}: {error}") from error


def _make_current_directory_importable() -> None:
    here = os.getcwd()
    if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


def _import(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not _is_within(name, error.name):
            raise _refused_import(f"module {name!r}", error) from error
        package = error.name.rpartition(".")[0]
        near = did_you_mean(error.name, _module_names(package))
        raise Refused(f"there is no module {error.name!r}.{near}") from error
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit too: a script without `if __name__ == "__main__"` raises it
        raise _refused_import(f"module {name!r}", error) from error


def _is_within(name: str, package: str) -> bool:
    """Whether *package* is *name* or one of the packages around it."""
    return f"{name}.".startswith(f"{package}.")


def _attribute(owner: object, name: str, where: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        if error.obj is not owner and error.obj is not None:
            raise _refused_import(f"what {where!r} needs", error) from error
        known = [each for each in dir(owner) if callable(getattr(owner, each, None))]
        raise Refused(f"{where!r} has no {name!r}.{did_you_mean(name, known)}") from None
    except Exception as error:  # a module may import its parts only when they are asked for
        raise _refused_import(repr(f"{where}.{name}"), error) from error


def _refused_import(what: str, error: BaseException) -> Refused:
    import traceback

    story = traceback.TracebackException(type(error), error, _users_part(error.__traceback__))
    return Refused(f"{what} cannot be imported:\n{''.join(story.format()).rstrip()}")


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
