"""What items become and come back as, in the backends that keep bytes."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import os
import pickle
import subprocess
import sys
import threading
import typing
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from headrace.errors import DecodeError, EncodeError, HeadraceError, NotSupported
from headrace.serializers import Serializer, decoder_by_code, serializer_for

msgspec = pytest.importorskip("msgspec")
np = pytest.importorskip("numpy")

MSGPACK = serializer_for()
JSON = serializer_for("json")
NAMES = ("msgpack", "json", "bytes", "pickle", "cloudpickle")


@dataclasses.dataclass
class Order:
    id: int
    name: str = ""
    when: datetime | None = None
    prices: list[Decimal] = dataclasses.field(default_factory=list)
    place: tuple[float, float] = (0.0, 0.0)
    more: Any = None


@dataclasses.dataclass
class SubOrder(Order):
    extra: int = 0


@dataclasses.dataclass(eq=False)
class WithoutEquality:
    id: int
    when: datetime


class Struct(msgspec.Struct):
    id: int
    tags: set[str]


class Tagged(msgspec.Struct, tag=True, rename="camel"):
    order_id: int
    at: tuple[int, ...] = ()


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Shape(typing.TypedDict):
    sides: int


class Point(typing.NamedTuple):
    x: int
    y: int


def name_of_type(value: object) -> str:
    return type(value).__name__


def again(item: Any, serializer: Serializer = MSGPACK) -> Any:
    body = serializer.encode(item)
    assert type(body) is bytes
    return serializer.decode(body)


def alike(a: Any, b: Any) -> bool:
    """Whether two items are equal in value and in type, all the way down. A NaN is like a NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(alike, a.items(), b.items()))
    if isinstance(a, (set, frozenset)):
        return len(a) == len(b) and sorted(map(_exactly, a)) == sorted(map(_exactly, b))
    return _exactly(a) == _exactly(b)


def _exactly(a: Any) -> str:
    if isinstance(a, (set, frozenset)):
        return f"{type(a)}{sorted(map(_exactly, a))}"
    if isinstance(a, tuple):
        return f"tuple{[_exactly(part) for part in a]}"
    if isinstance(a, int):
        return f"{type(a)}{a:x}"
    return f"{type(a)}{a!r}"


# Without a type.


ITEMS: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
    2**200,
    -(2**200),
    10**5000,
    0.0,
    -0.0,
    1.5,
    math.inf,
    -math.inf,
    math.nan,
    "",
    "text",
    "\0",
    "\U0001f600",
    "é" * 1000,
    b"",
    b"\0\xff",
    bytearray(b"ab"),
    bytearray(),
    [],
    [1, [2, [3]]],
    (),
    (1, 2),
    ((),),
    [(1,), [2]],
    set(),
    {1, 2},
    frozenset({1, (2, 3)}),
    {frozenset({1}), 2},
    {},
    {"a": 1},
    {"a": {"b": (1, 2)}},
    {1: 2},
    {(1, 2): 3},
    {None: 1, True: 2, 1.5: 3, b"x": 4},
    {frozenset({1}): {2}},
    {2**70: 1, "b": 2},
    {"a": 2**70},
    {(1, ("x",)): [(), {}]},
    {"z": 1, "a": 2},
    {date(2026, 1, 1): 1},
    datetime(2026, 1, 2, 3, 4, 5, 678901),
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(2026, 10, 25, 2, 30, fold=1),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-3, minutes=30))),
    datetime.min,
    datetime.max,
    date(1, 1, 1),
    time(1, 2, 3, 4),
    time(1, tzinfo=UTC),
    time(2, 30, fold=1),
    timedelta(days=-3, microseconds=7),
    timedelta.max,
    timedelta.min,
    uuid.UUID(int=5),
    Decimal("1.10"),
    Decimal("NaN"),
    Decimal("-Infinity"),
    Decimal("1E+1000"),
    1 + 2j,
    complex(math.nan, -0.0),
    Path("/a/b"),
    Path("."),
    PurePosixPath("x/y"),
    PureWindowsPath("c:\\x"),
    Path(os.fsdecode(b"/odd/\xff")),
    "\udc80",
    os.fsdecode(b"a\xff"),
    {"\ud800": "\udfff"},
    ["\ud83d\ude00"],
    ("\udc80", 2**64),
    np.float64(1.5),
    np.int8(-3),
    np.bool_(True),
    np.datetime64("2026-01-02"),
    np.str_("abc"),
    np.bytes_(b"x"),
    np.complex64(1j),
    np.str_(""),
]


@pytest.mark.parametrize("item", ITEMS, ids=name_of_type)
def test_an_item_comes_back_equal_and_of_the_same_type(item: Any) -> None:
    for put in (item, [item], (item,), {"key": item}, {"key": [item, (item, {"k": item})]}):
        assert alike(again(put), put)


ARRAYS = [
    np.arange(6).reshape(2, 3),
    np.arange(6).reshape(2, 3).T,
    np.zeros((0, 3)),
    np.array(5),
    np.array(["a", "bcd"]),
    np.array([b"a", b"bc"]),
    np.array([True, False]),
    np.array(["2026-01-01", "NaT"], "M8[ns]"),
    np.array([1, 2], "m8[25s]"),
    np.arange(10)[::2],
    np.array([1 + 2j]),
    np.array([1, 2], ">i4"),
    np.array([math.nan, 1.0], "f2"),
    np.array([(1, 2.5, [1, 2])], [("a", "i4"), ("b", "<f8"), ("c", "u1", (2,))]),
    np.array([((1, 2),)], [("a", [("b", "i1"), ("c", "i2")])]),
    np.array([(1, 2)], np.dtype([("a", "i1"), ("b", "i2")]))[0],
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_an_array_comes_back_with_its_dtype_shape_and_values_and_can_be_written_to(array: Any) -> None:
    for got in (again(array), again({"a": [array]})["a"][0]):
        assert type(got) is type(array)
        assert got.dtype == array.dtype
        assert got.shape == array.shape
        assert got.tobytes() == array.tobytes()
        if isinstance(got, np.ndarray):
            assert got.flags.writeable
            assert got.flags.owndata
            assert got.flags.fnc == array.flags.fnc


UNKEEPABLE = [
    np.array([object()]),
    np.array(["a", None], object),
    np.ma.array([1], mask=[True]),
    np.array([(1, None)], "i4,O"),
    np.array([(1, 2)], np.dtype({"names": ["a", "b"], "formats": ["i1", "i2"], "offsets": [0, 8]})),
    np.zeros((5, 5), "V0"),
    np.str_("a\0"),
]
if hasattr(np.dtypes, "StringDType"):
    UNKEEPABLE.append(np.array(["a"], np.dtypes.StringDType()))


@pytest.mark.parametrize("array", UNKEEPABLE, ids=lambda array: f"{type(array).__name__}-{array.dtype}")
def test_an_array_whose_data_are_not_its_bytes_is_refused_with_the_remedy(array: Any) -> None:
    with pytest.raises(EncodeError, match=r"numpy.*(?s:.)*serializer='pickle'"):
        MSGPACK.encode({"a": array})


def test_a_zone_comes_back_as_its_offset() -> None:
    for fold in (0, 1):
        put = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=fold)
        got = again(put)
        assert got.astimezone(UTC) == put.astimezone(UTC)
        assert got.utcoffset() == put.utcoffset()
    with pytest.raises(EncodeError, match="zone"):
        MSGPACK.encode(time(2, tzinfo=ZoneInfo("Europe/Berlin")))


def test_records_come_back_as_dicts_of_their_fields() -> None:
    order = Order(1, "a", datetime(2026, 1, 1), [Decimal(1)], (1.0, 2.0), {"deep": Struct(1, {"x"})})
    assert again(order) == {
        "id": 1,
        "name": "a",
        "when": datetime(2026, 1, 1),
        "prices": [Decimal(1)],
        "place": (1.0, 2.0),
        "more": {"deep": {"id": 1, "tags": {"x"}}},
    }
    assert again([Tagged(5)]) == [{"type": "Tagged", "orderId": 5, "at": ()}]
    assert again(WithoutEquality(1, datetime.min), MSGPACK) == {"id": 1, "when": datetime.min}
    assert again(WithoutEquality(1, "x"), JSON) == {"id": 1, "when": "x"}  # type: ignore[arg-type]


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class WithoutRepr:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (object(), "builtins|object.*pickle"),
        (Text("a"), r"Text.*put str\(item\).*pickle"),
        (Whole(1), r"Whole.*put int\(item\)"),
        (Number.ONE, "Number.*put its .value"),
        (Color.RED, "Color.*put its .value.*type="),
        (Point(1, 2), r"Point.*tuple\(item\)"),
        (collections.OrderedDict(a=1), r"OrderedDict.*dict\(item\)"),
        (collections.defaultdict(int), r"defaultdict.*dict\(item\)"),
        (collections.deque([1]), "deque.*pickle"),
        (memoryview(b"a"), r"memoryview.*bytes\(item\)"),
        (lambda: 1, "function.*cloudpickle"),
        (Order, "type.*Order"),
        (range(3), "range"),
        (WithoutRepr(), "WithoutRepr (object|instance)"),
        (msgspec.msgpack.Ext(2, b"\x90"), "Ext"),
        (msgspec.Raw(b"\xff"), "Raw"),
        (ValueError("a"), "ValueError"),
    ],
    ids=lambda value: value if isinstance(value, str) and ".*" in value else "",
)
@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_what_has_no_form_is_refused_by_the_type_and_the_remedy(name: str, item: Any, says: str) -> None:
    serializer = serializer_for(name)
    for put in (item, [item], {"a": (item)}, [{"a": [item]}]):
        with pytest.raises(EncodeError, match=f"(?s).*{says}") as refused:
            serializer.encode(put)
        assert isinstance(refused.value, (HeadraceError, TypeError))
        assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


@pytest.mark.parametrize("name", ["msgpack", "json", "pickle"])
def test_an_error_stays_short_however_large_the_item(name: str) -> None:
    serializer = serializer_for(name, type=int if name == "pickle" else None)
    for item in (["x" * 10**6] * 100, {("x" * 10**5, n): lambda: 1 for n in range(50)}, [10**10000], b"x" * 10**6):
        with pytest.raises(EncodeError) as refused:
            serializer.encode([item, lambda: 1])
        assert len(str(refused.value)) < 1000
        with pytest.raises(EncodeError) as refused:
            serializer_for("json", type=int).encode(item)
        assert len(str(refused.value)) < 1000


def test_an_item_that_contains_itself_or_is_nested_too_deeply_is_refused() -> None:
    own: list[Any] = []
    own.append(own)
    own_dict: dict[str, Any] = {}
    own_dict["a"] = (own_dict,)
    order = Order(1)
    order.more = order
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for item in (own, own_dict, order, deep):
        for name in ("msgpack", "json"):
            if name == "msgpack" or isinstance(item, list):  # JSON refuses the others for their tuples
                with pytest.raises(EncodeError, match="nested more than 100 levels deep, or contains itself"):
                    serializer_for(name).encode(item)
    for name in ("msgpack", "json"):
        with pytest.raises(EncodeError):
            serializer_for(name, type=list).encode(own)
    with pytest.raises(EncodeError):
        serializer_for("pickle").encode(deep)


def test_what_is_nested_as_deeply_as_may_be_comes_back() -> None:
    wraps: list[Any] = [
        lambda item: (item,),
        lambda item: {"a": item},
        lambda item: {2**65: item},
        lambda item: WithoutEquality(1, item),
    ]
    for wrap in wraps:
        item: Any = 2**70
        for _ in range(99):
            item = wrap(item)
        item = [item]
        body = MSGPACK.encode(item)
        assert MSGPACK.encode(MSGPACK.decode(body)) == body
        with pytest.raises(EncodeError, match="nested"):
            MSGPACK.encode([item])


def test_an_item_that_is_changed_meanwhile_is_kept_or_refused() -> None:
    shared: dict[Any, Any] = {n: (n,) for n in range(300)}
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            shared[1000] = 1
            del shared[1000]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            try:
                assert len(again(shared)) in (300, 301)
            except EncodeError as error:
                assert "changed" in str(error) or "longer" in str(error) or "shorter" in str(error)  # noqa: PT017
    finally:
        stop.set()
        thread.join()


def test_a_large_body_comes_back() -> None:
    large = b"x" * (1 << 25)
    assert again((large, {"a": large})) == (large, {"a": large})


hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals().filter(lambda d: not d.is_snan())
    | st.complex_numbers()
    | st.just("\udc80"),
    lambda parts: st.tuples(parts, parts) | st.frozensets(parts, max_size=3),
    max_leaves=6,
)
anything = st.recursive(
    hashable | st.binary().map(bytearray) | st.sets(hashable, max_size=3),
    lambda parts: st.lists(parts) | st.lists(parts).map(tuple) | st.dictionaries(hashable, parts, max_size=4),
    max_leaves=20,
)


def with_offsets(item: Any) -> Any:
    """*item* with its zones as offsets."""
    if isinstance(item, datetime) and item.tzinfo is not None:
        return datetime.fromisoformat(item.isoformat()).replace(fold=item.fold)
    if isinstance(item, (list, tuple, set, frozenset)):
        return type(item)(map(with_offsets, item))
    if isinstance(item, dict):
        return {with_offsets(key): with_offsets(value) for key, value in item.items()}
    return item


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(anything)
def test_whatever_is_put_comes_back(item: Any) -> None:
    assert alike(again(item), with_offsets(item))


json_items = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)


@settings(deadline=None)
@given(json_items)
def test_whatever_json_takes_comes_back_and_anything_can_read_it(item: Any) -> None:
    import json

    assert alike(again(item, JSON), item)
    assert alike(json.loads(JSON.encode(item)), item)


@pytest.mark.parametrize(
    "item",
    [
        (1,),
        b"a",
        {1: 2},
        math.nan,
        math.inf,
        [-math.inf],
        datetime.min,
        {1},
        Decimal(1),
        uuid.UUID(int=1),
        "\udc80",
        10**5000,
        1j,
        np.array([1]),
    ],
    ids=name_of_type,
)
def test_json_refuses_what_would_come_back_as_something_else(item: Any) -> None:
    for put in (item, [item], {"a": item}):
        with pytest.raises(EncodeError, match=r"JSON.*msgpack"):
            JSON.encode(put)


# Reading.


@settings(deadline=None, max_examples=400)
@given(st.binary())
@example(b"")
@example(b"\x91" * 100_000)
@example(b"\x81" * 100_000)
@example(b"[" * 100_000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdb\xff\xff\xff\xff")
@example(b"\xc1")
def test_garbage_is_a_value_or_a_decode_error(body: bytes) -> None:
    for serializer in (MSGPACK, JSON, serializer_for(type=Order), serializer_for("json", type=Order)):
        try:
            serializer.decode(body)
        except DecodeError as error:
            assert str(error)  # noqa: PT017


def extension(code: int, data: bytes) -> bytes:
    return bytes(msgspec.msgpack.encode(msgspec.msgpack.Ext(code, data)))


@settings(deadline=None, max_examples=1000)
@given(st.integers(-128, 127) | st.integers(1, 18), st.binary() | anything.map(MSGPACK.encode))
def test_garbage_in_a_form_of_ours_is_a_value_or_a_decode_error(code: int, data: bytes) -> None:
    for body in (extension(code, data), msgspec.msgpack.encode([msgspec.msgpack.Ext(code, data)] * 2)):
        try:
            MSGPACK.decode(body)
        except DecodeError:
            pass


dtypes = st.text("<>|biufcSUVmMOT0123456789[]sD,", max_size=6) | st.sampled_from(
    ["<f8", "|O", "|V0", "<U0", "|b1", "<U1"]
)
shapes = st.lists(st.integers(-2, 3) | st.integers(0, 2**62), max_size=4)


@settings(deadline=None, max_examples=1000)
@given(
    dtypes | st.lists(st.tuples(st.text(max_size=2), dtypes, shapes), max_size=3),
    shapes,
    st.booleans(),
    st.binary(max_size=64),
)
@example("|V0", [2**40], False, b"")
@example("<f8", [0, 2**62], False, b"")
@example("|O", [1], False, b"\x01" * 8)
@example([("a", "|O", [])], [1], False, b"\x01" * 8)
@example("<U1", [], False, b"\xff" * 4)
def test_garbage_for_an_array_is_an_array_of_its_length_or_a_decode_error(
    dtype: Any, shape: list[int], fortran: bool, data: bytes
) -> None:
    form = msgspec.msgpack.encode((dtype, shape, fortran, data))
    for code in (16, 17):
        try:
            got = MSGPACK.decode(extension(code, form))
        except DecodeError:
            continue
        assert got.nbytes == len(data)
        assert not got.dtype.hasobject


@settings(deadline=None, max_examples=300)
@given(anything, st.data())
def test_a_body_with_a_changed_or_missing_byte_is_a_value_or_a_decode_error(item: Any, data: st.DataObject) -> None:
    body = bytearray(MSGPACK.encode(item))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    for broken in (bytes(body), bytes(body[:place])):
        try:
            MSGPACK.decode(broken)
        except DecodeError:
            pass


def test_nested_forms_without_end_are_a_decode_error() -> None:
    body = b"\x90"
    for _ in range(3000):
        body = msgspec.msgpack.encode([msgspec.msgpack.Ext(2, body)])
    with pytest.raises(DecodeError):
        MSGPACK.decode(body)


def test_a_decode_error_gives_the_reason() -> None:
    with pytest.raises(DecodeError, match="truncated"):
        MSGPACK.decode(b"\x92\x01")
    with pytest.raises(DecodeError, match="extension type 99 is unknown to this version"):
        MSGPACK.decode(extension(99, b""))
    with pytest.raises(DecodeError, match="JSON"):
        JSON.decode(b"{")
    with pytest.raises(DecodeError, match=r"no .*Order: .*missing required field `id`"):
        serializer_for(type=Order).decode(MSGPACK.encode({}))


def test_numpy_that_is_missing_where_it_is_needed_is_a_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    body = MSGPACK.encode(np.array([1]))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(DecodeError, match="pip install numpy"):
        MSGPACK.decode(body)


# The format is for good.


def test_what_was_written_by_the_first_version_is_read() -> None:
    first = {
        "c70302920102": (1, 2),
        "d5039101": {1},
        "d5049101": frozenset({1}),
        "c70901010000000000000000": 2**64,
        "d70a30313a30323a3033": time(1, 2, 3),
        "d40661": bytearray(b"a"),
        "c70307edb280": "\udc80",
        "c70a09323032362d30312d3032": date(2026, 1, 2),
        "c70c0b000000010000000200000003": timedelta(1, 2, 3),
        "d80c" + "00" * 15 + "05": uuid.UUID(int=5),
        "c7040d312e3130": Decimal("1.10"),
        "d80e3ff00000000000004000000000000000": 1 + 2j,
        "c7030f632f61": Path("/a"),
        "c7050593019101c0": None,
    }
    for body, item in first.items():
        if item is not None:
            assert alike(MSGPACK.decode(bytes.fromhex(body)), item), body


@pytest.mark.parametrize(
    ("name", "code"), [("msgpack", 1), ("json", 2), ("bytes", 3), ("pickle", 4), ("cloudpickle", 5)]
)
def test_each_serializer_has_its_code(name: str, code: int) -> None:
    serializer = serializer_for(name)
    assert (serializer.name, serializer.code) == (name, code)
    reader = decoder_by_code(code, frozenset({code}))
    item = b"bytes go with all but JSON" if name != "json" else "text"
    assert reader.decode(serializer.encode(item)) == item


@pytest.mark.parametrize("code", [1, 2, 3])
def test_what_runs_no_code_is_read_whatever_the_queue_was_opened_with(code: int) -> None:
    assert decoder_by_code(code, frozenset()).code == code


@pytest.mark.parametrize(("code", "name"), [(4, "pickle"), (5, "cloudpickle")])
def test_a_pickle_is_read_only_where_it_was_asked_for(code: int, name: str) -> None:
    with pytest.raises(DecodeError, match=f"unpickling runs whatever code.*serializer='{name}'"):
        decoder_by_code(code, frozenset({1}))
    assert decoder_by_code(code, frozenset({code})).name == name


def test_an_unknown_code_is_a_decode_error() -> None:
    for code in (0, 6, -1):
        with pytest.raises(DecodeError, match="newer version"):
            decoder_by_code(code, frozenset({code}))
    with pytest.raises(DecodeError, match="written by bytes"):
        decoder_by_code(3, frozenset(), Order)


# With a type.


VALID: list[tuple[Any, Any]] = [
    (Order, Order(1, "a", datetime(2026, 1, 1), [Decimal("1.0")], (1.0, 2.5))),
    (Order, Order(2**70, more=(1, {2}))),
    (Order, Order(1, "\udc80", more=[np.float64(2)])),
    (Order, Order(1, place=(math.nan, 1.0))),
    (Order, Order(1, place=(1, 2))),
    (Struct, Struct(1, {"a"})),
    (Tagged, Tagged(1, (2, 3))),
    (Color, Color.RED),
    (Number, Number.ONE),
    (Point, Point(1, 2)),
    (Shape, {"sides": 3}),
    (int, 2**64),
    (float, 1),
    (float, 1.5),
    (float, math.nan),
    (str, "a"),
    (bytes, b"a"),
    (list[int], [1, 2]),
    (dict[str, int], {"a": 1}),
    (dict[str, Any], {"a": (1, 2)}),
    (tuple[int, str], (1, "a")),
    (set[int], {1}),
    (int | str | None, None),
    (Order | None, Order(1)),
    (list[Order], [Order(1)]),
    (datetime, datetime(2026, 1, 1, tzinfo=UTC)),
    (uuid.UUID, uuid.UUID(int=1)),
    (complex, 1j),
    (Path, Path("/x")),
    (Any, (1, 2)),
    (object, (1, 2)),
    (None, (1, 2)),
]


@pytest.mark.parametrize(
    ("type_", "item"), VALID, ids=lambda value: str(value)[:30].encode("ascii", "replace").decode()
)
def test_an_item_of_the_type_comes_back_as_that_type(type_: Any, item: Any) -> None:
    got = again(item, serializer_for(type=type_))
    assert got == item or str(got) == str(item)
    assert type(got) is type(item) or (type(item) is int and type_ is float)


def test_a_record_without_equality_and_an_array_in_a_record_come_back() -> None:
    for name in ("msgpack", "json"):
        got = again(WithoutEquality(1, datetime.min), serializer_for(name, type=WithoutEquality))
        assert (type(got), got.id, got.when) == (WithoutEquality, 1, datetime.min)
    order = again(Order(1, more=np.arange(3)), serializer_for(type=Order))
    assert order.more.tolist() == [0, 1, 2]
    assert again(np.arange(3), serializer_for(type=np.ndarray)).tolist() == [0, 1, 2]


INVALID: list[tuple[Any, Any]] = [
    (Order, {"id": 1}),
    (Order, None),
    (Order, SubOrder(1)),
    (Order, Order("1")),  # type: ignore[arg-type]
    (Order, Order(1, b"a")),  # type: ignore[arg-type]
    (Order, Order(1, when="2026-01-01T00:00:00")),  # type: ignore[arg-type]
    (Order, Order(1, prices=["1.0"])),  # type: ignore[list-item]
    (Order, Order(1, place=[1.0, 2.0])),  # type: ignore[arg-type]
    (Order, Order(1, place=(1.0,))),  # type: ignore[arg-type]
    (Order, Order(1, more=object())),
    (WithoutEquality, WithoutEquality(1, "2026-01-01T00:00:00")),  # type: ignore[arg-type]
    (Struct, Struct(1, ["a"])),
    (int, "1"),
    (int, True),
    (int, 1.0),
    (str, 1),
    (str, Text("a")),
    (float, True),
    (list[int], (1, 2)),
    (list[int], ["a"]),
    (set[int], [1]),
    (tuple[int, str], [1, "a"]),
    (Point, (1, 2)),
    (Color, "red"),
    (Shape, {"sides": "3"}),
    (datetime, "2026-01-01T00:00:00"),
    (int | str, 1.5),
    (list[Order], [{"id": 1}]),
]


@pytest.mark.parametrize("name", ["msgpack", "json"])
@pytest.mark.parametrize(("type_", "item"), INVALID, ids=lambda value: str(value)[:40])
def test_an_item_of_another_type_is_refused(name: str, type_: Any, item: Any) -> None:
    with pytest.raises(EncodeError, match=r"a queue of .* does not take"):
        serializer_for(name, type=type_).encode(item)


def test_the_refusal_says_where_the_item_is_wrong() -> None:
    with pytest.raises(
        EncodeError,
        match=r"Order does not take .*the item.when is '2026.*' \(str\) and would come back as .*\(datetime",
    ):
        serializer_for(type=Order).encode(Order(1, when="2026-01-01T00:00:00"))  # type: ignore[arg-type]
    with pytest.raises(EncodeError, match=r"Expected `int`, got `str` - at `\$\.id`"):
        serializer_for(type=Order).encode(Order("1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_a_body_of_another_type_is_a_decode_error(name: str) -> None:
    other = serializer_for(name).encode({"id": "no number"})
    for type_ in (Order, int, list[int], Color):
        with pytest.raises(DecodeError, match="the body holds no"):
            serializer_for(name, type=type_).decode(other)


def test_a_typed_queue_reads_what_an_untyped_one_wrote() -> None:
    order = Order(1, "a", datetime(2026, 1, 1), [Decimal("1.0")], (1.0, 2.5))
    typed = serializer_for(type=Order)
    assert typed.decode(MSGPACK.encode(order)) == order
    assert typed.decode(MSGPACK.encode(dataclasses.asdict(order))) == order
    assert MSGPACK.decode(typed.encode(order))["name"] == "a"
    assert serializer_for(type=Tagged).decode(MSGPACK.encode(Tagged(1, (2,)))) == Tagged(1, (2,))


def test_a_type_that_cannot_be_checked_is_a_value_error() -> None:
    for name, type_ in (
        ("msgpack", 5),
        ("json", Order | dict),
        ("pickle", list[int]),
        ("cloudpickle", Shape),
        ("bytes", Order),
    ):
        with pytest.raises(ValueError, match="type="):
            serializer_for(name, type=type_)


# Bytes and pickles.


@given(st.binary())
def test_bytes_are_stored_as_they_are(item: bytes) -> None:
    raw = serializer_for("bytes", type=bytes)
    assert raw.encode(item) == item
    assert raw.decode(item) == item


@pytest.mark.parametrize(
    ("item", "remedy"), [("a", r"item.encode\(\)"), (bytearray(b"a"), r"bytes\(item\)"), (1, "msgpack")]
)
def test_the_bytes_serializer_refuses_anything_else(item: Any, remedy: str) -> None:
    with pytest.raises(EncodeError, match=remedy):
        serializer_for("bytes").encode(item)


@pytest.mark.parametrize("name", ["pickle", "cloudpickle"])
def test_a_pickle_keeps_any_object(name: str) -> None:
    pytest.importorskip(name)
    for item in (Order(1), Color.RED, Point(1, 2), {1: (2,)}, Text("a"), 10**5000):
        assert alike(again(item, serializer_for(name)), item)
    assert again(SubOrder(1), serializer_for(name, type=Order)) == SubOrder(1)


@pytest.mark.parametrize("name", ["pickle", "cloudpickle"])
def test_a_pickle_of_another_class_is_refused_both_ways(name: str) -> None:
    pytest.importorskip(name)
    with pytest.raises(EncodeError, match=r"queue of .*Order does not take int"):
        serializer_for(name, type=Order).encode(1)
    with pytest.raises(DecodeError, match=r"holds int, and this is a queue of .*Order"):
        serializer_for(name, type=Order).decode(serializer_for(name).encode(1))


def test_lambdas_go_with_cloudpickle_and_pickle_says_so() -> None:
    pytest.importorskip("cloudpickle")
    with pytest.raises(EncodeError, match="cloudpickle"):
        serializer_for("pickle").encode(lambda: 1)
    assert again(lambda: 5, serializer_for("cloudpickle"))() == 5
    with pytest.raises(EncodeError, match="lock"):
        serializer_for("cloudpickle").encode(threading.Lock())


@pytest.mark.parametrize("body", [b"", b"\x80\x05", b"garbage", b"cno_such_module\nx\n."])
def test_a_broken_pickle_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match="unpickled"):
        serializer_for("pickle").decode(body)


# Making them.


def test_an_unknown_name_suggests_the_nearest() -> None:
    for name, near in (("mesagepack", "msgpack"), ("JSON", "json"), ("pikle", "pickle"), ("byte", "bytes")):
        with pytest.raises(ValueError, match=f"did you mean '{near}'"):
            serializer_for(name)
    with pytest.raises(ValueError, match="there are 'msgpack', 'json'"):
        serializer_for("zzzz")


@pytest.mark.parametrize(
    ("library", "name", "install"),
    [
        ("msgspec", "msgpack", r"headrace\[sqlite\]"),
        ("msgspec", "json", "sqlite"),
        ("cloudpickle", "cloudpickle", "cloudpickle"),
    ],
)
def test_a_missing_library_is_said_with_how_to_install_it(library: str, name: str, install: str) -> None:
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from headrace.serializers import *\nfrom headrace.errors import NotSupported\n"
        "assert serializer_for('bytes').encode(b'a') == b'a' and serializer_for('pickle').encode(1)\n"
        f"try: serializer_for({name!r})\nexcept NotSupported as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert f"serializer={name!r} needs {library}, which is not installed: pip install" in ran.stdout, ran.stderr
    assert issubclass(NotSupported, HeadraceError)


def test_headrace_and_the_names_of_serializers_import_neither_msgspec_nor_numpy() -> None:
    code = (
        "import sys, headrace, headrace.serializers as s; s.serializer_for('bytes'); s.serializer_for('pickle')\n"
        "print('msgspec' in sys.modules)\ns.serializer_for().encode({'a': (1, 2)}); print('numpy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stdout == "False\nFalse\n", ran.stderr


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_one_serializer_serves_many_threads(name: str) -> None:
    serializer = serializer_for(name, type=None)
    typed = serializer_for(name, type=Order)
    failures: list[object] = []

    def run(number: int) -> None:
        for n in range(300):
            item = {"number": number, "n": [n, {"a": "b" * n}]}
            if again(item, serializer) != item or again(Order(n), typed) != Order(n):
                failures.append(item)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
