"""``pickle`` and ``cloudpickle``: any object, for queues whose writers are all trusted to run code in their readers."""

from __future__ import annotations

import pickle

from headrace.errors import DecodeError, EncodeError
from headrace.serializers.base import Serializer, checkable, refusal, shortened, type_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Pickle", "cloudpickle_serializer"]

# Not HIGHEST_PROTOCOL: what one Python puts, an older one of those that we support can read.
PROTOCOL = 5


class Pickle(Serializer):
    """Whatever pickle takes, back as pickle makes it. A *type* is checked at both ends with ``isinstance``."""

    __slots__ = ("_dumps", "_type", "code", "name")

    def __init__(
        self,
        type: Any = None,
        *,
        name: str = "pickle",
        code: int = 4,
        dumps: Callable[[Any, int], bytes] = pickle.dumps,
    ) -> None:
        if type is not None and not checkable(type):
            raise ValueError(
                f"serializer={name!r} checks plain classes only, so not type={type_name(type)}; "
                f"serializer='msgpack' can check it"
            )
        self.name = name
        self.code = code
        self._dumps = dumps
        self._type = type

    def encode(self, item: Any) -> bytes:
        """*item* as a pickle. Runs the item's own ``__reduce__``."""
        if self._type is not None and not isinstance(item, self._type):
            raise EncodeError(
                f"a queue of {type_name(self._type)} does not take {type_name(type(item))}, here {shortened(item)}"
            )
        try:
            return self._dumps(item, PROTOCOL)
        except MemoryError:
            raise
        except Exception as error:
            raise refusal(f"serializer={self.name!r}", item, f"{self._remedy()} ({_reason(error)})") from error

    def decode(self, body: bytes) -> Any:
        """The object that *body* makes. Runs the code that it names."""
        try:
            item = pickle.loads(body)
        except MemoryError:
            raise
        except Exception as error:
            raise DecodeError(f"the body cannot be unpickled: {_reason(error)}") from error
        if self._type is not None and not isinstance(item, self._type):
            raise DecodeError(f"the body holds {type_name(type(item))}, and this is a queue of {type_name(self._type)}")
        return item

    def _remedy(self) -> str:
        if self.name == "pickle":
            return "lambdas and local classes go with serializer='cloudpickle'; or put the data that makes the object"
        return "put the data that makes the object"


def cloudpickle_serializer(type: Any = None) -> Pickle:
    """Pickles that carry the code of lambdas and of what is defined in ``__main__``."""
    from importlib import import_module  # cloudpickle has no types

    dumps: Callable[[Any, int], bytes] = import_module("cloudpickle").dumps
    return Pickle(type, name="cloudpickle", code=5, dumps=dumps)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {shortened(str(error))}"
