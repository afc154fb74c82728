"""``msgpack``: MessagePack by msgspec, with forms of our own for what it has none for."""

from __future__ import annotations

import typing
from typing import Any

import msgspec

from headrace.errors import DecodeError, EncodeError
from headrace.serializers.base import Serializer, refusal
from headrace.serializers.forms import CAREFUL, PLAIN, QUICK, unwrap
from headrace.serializers.typed import Typed

__all__ = ["MessagePack", "serializer"]


class MessagePack(Serializer):
    """Items of any type that has a form, back as what they were."""

    __slots__ = ("_pack", "_unpack")

    name = "msgpack"
    code = 1

    def __init__(self) -> None:
        self._pack = msgspec.msgpack.Encoder().encode
        self._unpack = msgspec.msgpack.Decoder(ext_hook=unwrap).decode

    def encode(self, item: Any) -> bytes:
        """See ``Serializer``."""
        kind: Any = type(item)  # pyright: ignore[reportUnknownVariableType]
        try:
            if kind in PLAIN:
                return self._pack(item)
            if kind is dict:  # the common item: seen to be plain in place, for half of what a call would cost
                for key, value in item.items():
                    if type(key) is not str or type(value) not in PLAIN:
                        break
                else:
                    return self._pack(item)
            return self._pack(QUICK.form(item))
        except (OverflowError, UnicodeEncodeError):  # a large int, a lone surrogate
            return self._carefully(item)
        except RuntimeError as error:  # no stack left, or another thread changes it
            raise _failed(item, error) from error

    def _carefully(self, item: Any) -> bytes:
        try:
            return self._pack(CAREFUL.form(item))
        except (RuntimeError, OverflowError, UnicodeEncodeError) as error:
            raise _failed(item, error) from error

    def decode(self, body: bytes) -> Any:
        """See ``Serializer``. Whatever *body* is, runs no code of its choosing."""
        try:
            return self._unpack(body)
        except (DecodeError, MemoryError):
            raise
        except Exception as error:
            raise DecodeError(f"the body cannot be read as MessagePack: {error}") from error


def serializer(type: Any = None) -> Serializer:
    """Make the serializer for items of *type*. Raises ``ValueError`` if msgspec cannot check that type."""
    untyped = MessagePack()
    if type in (None, typing.Any, object):
        return untyped
    try:
        decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(type, ext_hook=unwrap, dec_hook=Typed.as_it_is)
    except TypeError as error:
        raise ValueError(f"type={type!r} is not one that msgspec can check: {error}") from error
    encoder = msgspec.msgpack.Encoder(enc_hook=CAREFUL.form)
    return Typed(untyped, type, encoder.encode, decoder.decode)


def _failed(item: object, error: Exception) -> EncodeError:
    return refusal("MessagePack", item, f"it could not be written: {error}")
