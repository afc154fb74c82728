"""NumPy arrays and scalars as bytes: a MessagePack array of dtype, shape, whether in Fortran's order, and the data.

A dtype is written as NumPy's array protocol does (``<f8``), a structured one as an array of [name, dtype, shape]. Only
dtypes whose data are their bytes are taken: numbers, booleans, times and text of fixed length. Those that hold
references (objects, variable-length strings) are refused both ways: their bytes are addresses.
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.errors import DecodeError
from headrace.serializers.base import refusal

if TYPE_CHECKING:
    from headrace.serializers.walk import Walk

__all__ = ["unwrap", "wrap"]

SIMPLE = re.compile(r"[<>|][biufcSUVmM]\d{1,9}(\[\d{0,9}[A-Za-z]{1,7}(/\d{1,9})?\])?", re.ASCII)
_pack = msgspec.msgpack.Encoder().encode
_parts = msgspec.msgpack.Decoder(tuple[Any, list[int], bool, memoryview]).decode


def wrap(part: Any, walk: Walk) -> bytes:
    """Give an array or a scalar as bytes.

    Raises:
        EncodeError: its class is derived from ``ndarray``, or its dtype is not one whose data are its bytes.
    """
    import numpy as np

    array: Any = np.asarray(part)
    scalar = issubclass(type(part), np.generic)
    if not scalar and type(part) is not np.ndarray:
        raise refusal(walk.format, part, "put numpy.asarray(item), or open the queue with serializer='pickle'")
    if scalar and not part and array.dtype.kind in "SU":
        array = array.astype(f"{array.dtype.kind}1")  # an empty text would be an item without bytes
    dtype: Any = None
    try:
        dtype = _dtype_form(array.dtype)
        faithful = _dtype(dtype) == array.dtype and array.dtype.itemsize > 0
    except (ValueError, TypeError):
        faithful = False
    # Text of fixed length ends where its zeros begin: numpy.str_("a\0") would come back as "a".
    if not faithful or (array.dtype.kind in "SU" and scalar and array[()] != part):
        raise refusal(
            f"{walk.format} (dtype {array.dtype})",
            part,
            "put its items as a list, or in a dtype of fixed size (numbers, 'U10', …), or open the queue with "
            "serializer='pickle'",
        )
    fortran = bool(array.flags.fnc)
    return _pack((dtype, array.shape, fortran, array.tobytes("F" if fortran else "C")))


def unwrap(data: memoryview) -> Any:
    """Give the array that *data* holds: its own memory, writable. A scalar is an array without dimensions.

    Raises:
        DecodeError: NumPy is not installed.
        Exception: of many kinds, for garbage. Never takes more memory than *data* is long.
    """
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        raise DecodeError("the item holds a NumPy array, and NumPy is not installed: pip install numpy") from error
    form, shape, fortran, content = _parts(data)
    dtype = _dtype(form)
    # Of items without bytes, a few bytes could ask for more than there is time for; and NumPy may give each a byte.
    if dtype.itemsize == 0 or any(length < 0 for length in shape) or prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} in {len(content)} bytes")
    view: Any = np.ndarray(shape, dtype, buffer=content, order="F" if fortran else "C")
    return view.copy(order="K")


def _dtype_form(dtype: Any) -> Any:
    """Give a dtype as strings and lists. Raises ``ValueError`` for one that holds references."""
    if dtype.hasobject:
        raise ValueError("references")
    if dtype.subdtype is not None or dtype.names is None:
        return dtype.str
    forms: list[Any] = []
    for name in dtype.names:
        base, shape = dtype[name].subdtype or (dtype[name], ())
        forms.append([name, _dtype_form(base), list(shape)])
    return forms


def _dtype(form: Any, depth: int = 8) -> Any:
    """Make the dtype that *form* describes. Raises ``ValueError`` for anything but what ``_dtype_form`` gives."""
    import numpy as np

    if isinstance(form, str):
        if SIMPLE.fullmatch(form) is None:
            raise ValueError(f"no dtype whose data are its bytes: {form[:60]!r}")
        return np.dtype(form)
    if not isinstance(form, list) or depth == 0:
        raise ValueError("no dtype")
    fields: list[Any] = []
    for name, base, shape in form:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(name, str) or not isinstance(shape, list):
            raise ValueError("no field of a dtype")
        fields.append((name, _dtype(base, depth - 1), tuple(shape)))  # pyright: ignore[reportUnknownArgumentType]
    return np.dtype(fields)
