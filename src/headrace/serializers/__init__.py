"""How items become bytes, and items again, in the backends that keep them outside this process.

===============  ====  ======================================================================================
name             code  what it takes and gives back
===============  ====  ======================================================================================
``msgpack``      1     The default. Plain values, containers, times, numbers, paths and NumPy arrays, each back
                       as the type that it was (``forms``).
``json``         2     What JSON has a form for, and nothing else: readable by anything.
``bytes``        3     ``bytes``, as they are.
``pickle``       4     What pickle takes. Reading runs code that the file names, so it must be asked for.
``cloudpickle``  5     The same, and lambdas and local classes.
===============  ====  ======================================================================================

The first two need msgspec. **What comes back from a queue without a type is what was put, in value and in type**, or
the put is refused with an ``EncodeError``. The exceptions: records (dataclasses, msgspec Structs, attrs classes) come
back as dicts of their fields, since to make the object would need a class that the bytes name; datetimes and times with
a zone come back with a fixed offset in its place, so equal.

A queue with a type (``type=Order``) takes only what comes back equal to what was put, as an ``Order``.

Nothing of this, nor msgspec, is imported by ``import headrace``. A serializer may be used by any number of threads.
"""

from __future__ import annotations

from headrace.errors import DecodeError, NotSupported
from headrace.serializers.base import Serializer

TYPE_CHECKING = False  # for type checkers; typing itself costs milliseconds to import
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Serializer", "decoder_by_code", "serializer_for"]

# What is stored beside each item. A code never changes, and one that is given up is not given again.
CODES = {"msgpack": 1, "json": 2, "bytes": 3, "pickle": 4, "cloudpickle": 5}
NAMES = {code: name for name, code in CODES.items()}
RUN_CODE = frozenset({CODES["pickle"], CODES["cloudpickle"]})


def serializer_for(name: str = "msgpack", type: Any = None) -> Serializer:
    """Make the serializer called *name*, for items of *type* (None: of any type it has a form for).

    *type* is what msgspec can decode to: a dataclass, a Struct, a TypedDict, ``list[int]``, … The three serializers
    that are not msgspec's take plain classes and check them with ``isinstance``. Does not
    block; takes some microseconds.

    Raises:
        ValueError: there is no serializer of that name, or it cannot check that *type*.
        NotSupported: its library is not installed. The message says how to install it.
    """
    if name not in CODES:
        raise ValueError(_unknown(name))
    try:
        return _make(name, type)
    except ModuleNotFoundError as error:
        if error.name not in ("msgspec", "cloudpickle"):
            raise
        install = "'headrace[sqlite]'" if error.name == "msgspec" else error.name
        raise NotSupported(
            f"serializer={name!r} needs {error.name}, which is not installed: pip install {install}"
        ) from error


def decoder_by_code(code: int, allowed: frozenset[int], type: Any = None) -> Serializer:
    """Make the serializer that reads an item which was written by the one with that *code*.

    *allowed* has the codes of the serializers that this queue was opened with. MessagePack, JSON and bytes are read
    in any case; what runs code when it is read only if it is among them.

    Raises:
        DecodeError: *code* is unknown, may not be read here, or cannot give items of *type*.
        NotSupported: the library that it takes is not installed.
    """
    name = NAMES.get(code)
    if name is None:
        raise DecodeError(
            f"this item was written by serializer {code!r}, which this version of Headrace does not know; "
            f"a newer version may have put it"
        )
    if code in RUN_CODE and code not in allowed:
        raise DecodeError(
            f"this item was written by {name}, and unpickling runs whatever code the bytes name; if everybody who can "
            f"write to this queue may run code here, open it with serializer={name!r}"
        )
    try:
        return serializer_for(name, type)
    except ValueError as error:
        raise DecodeError(f"this item was written by {name}: {error}") from error


def _make(name: str, type: Any) -> Serializer:
    if name == "msgpack":
        from headrace.serializers import messagepack

        return messagepack.serializer(type)
    if name == "json":
        from headrace.serializers import plain_json

        return plain_json.serializer(type)
    if name == "bytes":
        from headrace.serializers.raw import RawBytes

        return RawBytes(type)
    from headrace.serializers import pickled

    return pickled.Pickle(type) if name == "pickle" else pickled.cloudpickle_serializer(type)


def _unknown(name: object) -> str:
    from difflib import get_close_matches

    near = get_close_matches(str(name).lower(), CODES, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, CODES))}"
    return f"no serializer is called {name!r}; {hint}"
