"""The forms, as MessagePack extension types, of what MessagePack has none for.

Each is a number (below) and bytes. They are part of the file format: **a number never changes its meaning.**
Containers hold their parts as MessagePack again. Nothing that is decoded here names a class or a function: what can
come out is what this module knows.

====  ==============  ==================================================================================
 1    int             beyond 64 bits: two's complement, big-endian
 2    tuple           an array
 3    set             an array
 4    frozenset       an array
 5    dict            with keys of other types than MessagePack's own: an array of key, value, key, value, …
 6    bytearray       its bytes
 7    str             with lone surrogates (what ``os.fsdecode`` makes of odd names): UTF-8 that has them too
 8    datetime        ISO 8601, and an ``f`` behind it if ``fold`` is 1
 9    date            ISO 8601
10    time            as a datetime
11    timedelta       days, seconds, microseconds: three 32-bit integers, big-endian
12    UUID            16 bytes
13    Decimal         as Python writes it
14    complex         two doubles, big-endian
15    path            a letter for the class (``c`` Path, ``p`` PurePosixPath, ``w`` PureWindowsPath), then as 7
16    NumPy array     see ``arrays``
17    NumPy scalar    see ``arrays``
====  ==============  ==================================================================================
"""

from __future__ import annotations

import struct
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import is_
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec

from headrace.serializers.base import refusal
from headrace.serializers.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CAREFUL", "PLAIN", "QUICK", "unwrap"]

Ext = msgspec.msgpack.Ext
_pack = msgspec.msgpack.Encoder().encode

INT, TUPLE, SET, FROZENSET, DICT, BYTEARRAY, STR, DATETIME, DATE, TIME = range(1, 11)
TIMEDELTA, UUID_, DECIMAL, COMPLEX, PATH, ARRAY, SCALAR = range(11, 18)

# Exactly these types, none derived from them. Of ints and strings the encoder says itself when it cannot have one.
PLAIN = frozenset({type(None), bool, int, float, str, bytes})

TIMEDELTA_FORM = struct.Struct(">iii")
COMPLEX_FORM = struct.Struct(">dd")
PATHS: dict[bytes, type] = {b"c": Path, b"p": PurePosixPath, b"w": PureWindowsPath}
_LETTERS: dict[type, bytes] = {PurePosixPath: b"p", PureWindowsPath: b"w"}


# Wrapping: (part, walk, depth) -> what the encoder gets.


def _wrap_int(part: int, walk: Walk, depth: int) -> Any:
    if -(1 << 63) <= part < 1 << 64:
        return part
    return Ext(INT, part.to_bytes(part.bit_length() // 8 + 1, "big", signed=True))


def _wrap_str(part: str, walk: Walk, depth: int) -> Any:
    try:
        part.encode()
    except UnicodeEncodeError:
        return Ext(STR, _surrogates(part))
    return part


def _surrogates(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _wrap_list(part: list[Any], walk: Walk, depth: int) -> Any:
    return walk.each(part, depth)


def _wrap_dict(part: dict[Any, Any], walk: Walk, depth: int) -> Any:
    plain = walk.plain
    for key in part:
        if type(key) not in plain:
            break
    else:
        return walk.values(part, depth)
    keys = walk.each(part, depth)
    if all(map(is_, keys, part)):  # the careful walk looks at them one by one, and finds most to be plain
        return walk.values(part, depth)
    values = walk.each(part.values(), depth)
    return Ext(DICT, _pack([half for pair in zip(keys, values, strict=True) for half in pair]))


def _array_of(code: int) -> Callable[[Any, Walk, int], Any]:
    return lambda part, walk, depth: Ext(code, _pack(walk.each(part, depth)))


def _wrap_time(part: Any, walk: Walk, depth: int) -> Any:
    # A zone that has no offset without a date would be lost without a word.
    if part.tzinfo is not None and part.utcoffset() is None:
        raise refusal(
            walk.format, part, "its zone has no offset that could be kept: put it without tzinfo and the zone's name"
        )
    text = part.isoformat() + ("f" if part.fold else "")
    return Ext(DATETIME if type(part) is datetime else TIME, text.encode())


def _wrap_path(part: object, walk: Walk, depth: int) -> Any:
    letter = _LETTERS.get(type(part), b"c")
    return Ext(PATH, letter + _surrogates(str(part)))


def _wrap_other(part: Any, walk: Walk, depth: int) -> Any:
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(part, (getattr(numpy, "ndarray", ()), getattr(numpy, "generic", ()))):
        from headrace.serializers import arrays

        scalar = not isinstance(part, numpy.ndarray)
        return Ext(SCALAR if scalar else ARRAY, arrays.wrap(part, walk))
    raise walk.refusal(part)


_FORMS: dict[type, Callable[[Any, Walk, int], Any]] = {
    list: _wrap_list,
    tuple: _array_of(TUPLE),
    dict: _wrap_dict,
    set: _array_of(SET),
    frozenset: _array_of(FROZENSET),
    bytearray: lambda part, walk, depth: Ext(BYTEARRAY, bytes(part)),
    datetime: _wrap_time,
    date: lambda part, walk, depth: Ext(DATE, part.isoformat().encode()),
    time: _wrap_time,
    timedelta: lambda part, walk, depth: Ext(
        TIMEDELTA, TIMEDELTA_FORM.pack(part.days, part.seconds, part.microseconds)
    ),
    UUID: lambda part, walk, depth: Ext(UUID_, part.bytes),
    Decimal: lambda part, walk, depth: Ext(DECIMAL, str(part).encode()),
    complex: lambda part, walk, depth: Ext(COMPLEX, COMPLEX_FORM.pack(part.real, part.imag)),
    type(Path()): _wrap_path,
    PurePosixPath: _wrap_path,
    PureWindowsPath: _wrap_path,
}

# The quick walk leaves ints and strings to the encoder. Where that finds one it cannot have, the careful one starts
# over.
QUICK = Walk("MessagePack", PLAIN, _FORMS, _wrap_other)
CAREFUL = Walk("MessagePack", PLAIN - {int, str}, {**_FORMS, int: _wrap_int, str: _wrap_str}, _wrap_other)


# Unwrapping: memoryview -> part.


def unwrap(code: int, data: memoryview) -> Any:
    """Give what an extension type stands for. Runs nothing but this module; raises some ``Exception`` on garbage."""
    form = _UNWRAPS.get(code)
    if form is None:
        raise ValueError(
            f"extension type {code} is unknown to this version of Headrace; a newer one may have written it"
        )
    return form(data)


_array = msgspec.msgpack.Decoder(list[Any], ext_hook=unwrap).decode


def _unwrap_dict(data: memoryview) -> dict[Any, Any]:
    halves = iter(_array(data))
    return dict(zip(halves, halves, strict=True))


_Moment = TypeVar("_Moment", datetime, time)


def _unwrap_time(data: memoryview, kind: type[_Moment]) -> _Moment:
    text = str(data, "ascii")
    if text.endswith("f"):
        return kind.fromisoformat(text[:-1]).replace(fold=1)
    return kind.fromisoformat(text)


def _unwrap_path(data: memoryview) -> Any:
    return PATHS[bytes(data[:1])](_text(data[1:]))


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _unwrap_array(data: memoryview) -> Any:
    from headrace.serializers import arrays

    return arrays.unwrap(data)


_UNWRAPS: dict[int, Callable[[memoryview], Any]] = {
    INT: lambda data: int.from_bytes(data, "big", signed=True),
    TUPLE: lambda data: tuple(_array(data)),
    SET: lambda data: set(_array(data)),
    FROZENSET: lambda data: frozenset(_array(data)),
    DICT: _unwrap_dict,
    BYTEARRAY: bytearray,
    STR: _text,
    DATETIME: lambda data: _unwrap_time(data, datetime),
    DATE: lambda data: date.fromisoformat(str(data, "ascii")),
    TIME: lambda data: _unwrap_time(data, time),
    TIMEDELTA: lambda data: timedelta(
        **dict(zip(("days", "seconds", "microseconds"), TIMEDELTA_FORM.unpack(data), strict=True))
    ),
    UUID_: lambda data: UUID(bytes=bytes(data)),
    DECIMAL: lambda data: Decimal(str(data, "ascii")),
    COMPLEX: lambda data: complex(*COMPLEX_FORM.unpack(data)),
    PATH: _unwrap_path,
    ARRAY: _unwrap_array,
    SCALAR: lambda data: _unwrap_array(data)[()],
}
