"""``json``: what JSON has a form for, and nothing else, so that anything can read it."""

from __future__ import annotations

import math
import typing
from typing import Any

import msgspec

from headrace.errors import DecodeError, EncodeError
from headrace.serializers.base import Serializer, refusal
from headrace.serializers.forms import QUICK
from headrace.serializers.typed import Typed
from headrace.serializers.walk import Walk

__all__ = ["JSON", "serializer"]


def _finite(part: float, walk: Walk, depth: int) -> float:
    if not math.isfinite(part):  # msgspec would write null
        raise refusal(
            walk.format, part, "put None or a string in its place, or open the queue with serializer='msgpack'"
        )
    return part


def _list(part: list[Any], walk: Walk, depth: int) -> list[Any]:
    return walk.each(part, depth)


def _dict(part: dict[Any, Any], walk: Walk, depth: int) -> dict[str, Any]:
    for key in part:
        if type(key) is not str:
            raise refusal(
                "JSON, whose keys are strings, as a key",
                key,
                "put str(key), or open the queue with serializer='msgpack'",
            )
    return walk.values(part, depth)


def _other(part: Any, walk: Walk, depth: int) -> Any:
    try:
        QUICK.form(part)
    except EncodeError:
        raise walk.refusal(part) from None
    raise refusal(
        walk.format,
        part,
        "put it as a string, a number, a list or a dict; or open the queue with type= a class that says where it "
        "stands, or with serializer='msgpack', which keeps it",
    )


PLAIN = frozenset({type(None), bool, int, str})
WALK = Walk("JSON", PLAIN, {float: _finite, list: _list, dict: _dict}, _other)


class JSON(Serializer):
    """None, booleans, numbers, strings, lists and dicts with strings for keys. Records come back as dicts."""

    __slots__ = ("_pack", "_unpack")

    name = "json"
    code = 2

    def __init__(self) -> None:
        self._pack = msgspec.json.Encoder().encode
        self._unpack = msgspec.json.Decoder().decode

    def encode(self, item: Any) -> bytes:
        """See ``Serializer``."""
        try:
            return self._pack(WALK.form(item))
        except EncodeError:
            raise
        except (RuntimeError, OverflowError, ValueError) as error:  # UnicodeEncodeError is a ValueError
            raise refusal("JSON", item, f"it could not be written: {error}; serializer='msgpack' may") from error

    def decode(self, body: bytes) -> Any:
        """See ``Serializer``."""
        try:
            return self._unpack(body)
        except MemoryError:
            raise
        except Exception as error:
            raise DecodeError(f"the body cannot be read as JSON: {error}") from error


def serializer(type: Any = None) -> Serializer:
    """Make the serializer for items of *type*. Raises ``ValueError`` if msgspec cannot check that type."""
    untyped = JSON()
    if type in (None, typing.Any, object):
        return untyped
    try:
        decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type, dec_hook=Typed.as_it_is)
    except TypeError as error:
        raise ValueError(f"type={type!r} is not one that msgspec can check: {error}") from error
    encoder = msgspec.json.Encoder(enc_hook=WALK.form)
    return Typed(untyped, type, encoder.encode, decoder.decode)
