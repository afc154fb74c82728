"""``bytes``: items that are bytes already."""

from __future__ import annotations

from headrace.errors import DecodeError
from headrace.serializers.base import Serializer, refusal, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["RawBytes"]


class RawBytes(Serializer):
    """Bytes, as they are: what is stored is the item, byte for byte."""

    __slots__ = ()

    name = "bytes"
    code = 3

    def __init__(self, type: Any = None) -> None:
        if type not in (None, bytes, object):
            raise ValueError(f"serializer='bytes' holds nothing but bytes, so not type={type_name(type)}")

    def encode(self, item: Any) -> bytes:
        """Refuse what is not bytes."""
        if type(item) is not bytes:
            raise refusal("serializer='bytes'", item, _remedy(item))
        return item

    def decode(self, body: bytes) -> bytes:
        """Any body is an item."""
        try:
            return body if type(body) is bytes else bytes(memoryview(body))
        except TypeError as error:
            raise DecodeError(f"a body is bytes, not {type_name(type(body))}") from error


def _remedy(item: object) -> str:
    if isinstance(item, str):
        return "put item.encode()"
    if isinstance(item, (bytes, bytearray, memoryview)):
        return "put bytes(item)"
    return "put its bytes, or open the queue with serializer='msgpack'"
