"""What a byte map shares with dict: single keys, update, clear, iteration; beside a dict that gets the same."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator, MutableMapping
from types import MappingProxyType
from typing import Any

import pytest
from bytemaps import AnyMap, pairs

from shardmap import ByteMap


def test_set_get_delete(m: AnyMap) -> None:
    expected = dict(pairs(300))
    for key, value in expected.items():
        assert key not in m
        assert m.get(key) is None
        m[key] = value
        assert m[key] == m.get(key) == value
        assert key in m
    assert len(m) == 300
    assert m == expected
    for number, key in enumerate(expected):
        del m[key]
        assert key not in m
        assert len(m) == 299 - number
    assert m == {}
    assert not m


def test_what_reading_gives_is_bytes(m: AnyMap) -> None:
    m[bytearray(b"k")] = memoryview(b"v")
    found = [m[b"k"], m.get(b"k"), m.setdefault(b"k", b""), m.get_many([b"k"])[0], m.swap(b"k", b"v"), *m, *m.values()]
    found += [part for item in (*m.items(), m.popitem()) for part in item]
    m[b"k"] = b"v"
    found.append(m.pop(b"k"))
    assert {type(each) for each in found} == {bytes}


def test_absent_keys(m: AnyMap) -> None:
    m[b"other"] = b"v"
    key = bytearray(b"absent")
    uses: list[Callable[[], Any]] = [
        lambda: m[key], lambda: m.pop(key), lambda: m.__delitem__(key), lambda: m.ttl(key)
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(KeyError) as caught:
            use()
        assert caught.value.args[0] is key
    default = object()
    assert m.get(key, default) is default
    assert m.pop(key, default) is default
    assert m.pop(key, None) is None
    assert m.swap(key, b"v", default) is default
    assert m == {b"other": b"v", b"absent": b"v"}


def test_overwriting(m: AnyMap) -> None:
    """With values of other sizes, of the same one, and around the sizes of blocks."""
    m[b"before"] = m[b"behind"] = b"stays"
    for size in [0, 1, 8, 7, 8, 9, 16, 100, 1, 0, 5000, 5000, 20]:
        for fill in (b"a", b"b"):
            m[b"key"] = fill * size
            assert m[b"key"] == fill * size
            assert len(m) == 3
        m._check()
    assert m.pop(b"key") == b"b" * 20
    assert m == {b"before": b"stays", b"behind": b"stays"}


def test_setdefault(m: AnyMap) -> None:
    assert m.setdefault(b"k", b"first") == b"first"
    assert m.setdefault(b"k", b"second") == b"first"
    assert m == {b"k": b"first"}
    with pytest.raises(TypeError):
        m.setdefault(b"no default")


def test_pop(m: AnyMap) -> None:
    m.update(pairs(100))
    for key, value in pairs(100):
        assert m.pop(key, b"default") == value
        assert m.pop(key, b"default") == b"default"
    assert len(m) == 0


def test_clear(m: AnyMap) -> None:
    for count in (0, 1, 1000):
        m.update(pairs(count))
        assert m.clear() is None
        assert (len(m), list(m), m == {}) == (0, [], True)
        assert b"key 0" not in m
        m._check()
    m[b"key 0"] = b"again"
    assert m == {b"key 0": b"again"}


def test_reading_does_not_depend_on_how_it_was_written(m: AnyMap) -> None:
    writes: tuple[Callable[[bytes, bytes], Any], ...] = (
        lambda key, value: m.__setitem__(key, value),
        lambda key, value: m.set(key, value),
        lambda key, value: m.insert(key, value),
        lambda key, value: m.setdefault(key, value),
        lambda key, value: m.swap(key, value),
        lambda key, value: m.update({key: value}),
        lambda key, value: m.set_many([(key, value)]),
        lambda key, value: (m.insert(key, b""), m.replace(key, value)),
        lambda key, value: (m.insert(key, b""), m.compare_and_set(key, b"", value)),
    )
    for write in writes:
        m.clear()
        for key, value in pairs(40):
            write(key, value)
        assert m == dict(pairs(40))


# -- many entries at once ---------------------------------------------------------------------------------------------


class KeysAndGetItem:
    """The least that dict's update takes for a mapping."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        self._entries = entries

    def keys(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __getitem__(self, key: bytes) -> bytes:
        return self._entries[key]


SOURCES: dict[str, Callable[[list[tuple[bytes, bytes]]], Any]] = {
    "list": list,
    "generator": lambda entries: (entry for entry in entries),
    "pairs that are lists": lambda entries: [list(entry) for entry in entries],
    "dict": dict,
    "dict items": lambda entries: dict(entries).items(),
    "ordered dict": OrderedDict,
    "proxy": lambda entries: MappingProxyType(dict(entries)),
    "byte map": ByteMap,
    "keys and getitem": lambda entries: KeysAndGetItem(dict(entries)),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("count", [0, 1, 200])
def test_construct_and_update_from(m: AnyMap, source: str, count: int) -> None:
    entries = pairs(count)
    assert ByteMap(SOURCES[source](entries)) == dict(entries)
    m.update([(b"key 0", b"old"), (b"else", b"stays")])
    expected = {b"key 0": b"old", b"else": b"stays"} | dict(entries)
    assert m.update(SOURCES[source](entries)) is None
    assert m == expected
    m |= SOURCES[source](entries)
    m.set_many(SOURCES[source](entries))
    assert m == expected


def test_update_from_a_row(m: AnyMap) -> None:
    """A mapping by its methods only: neither a Mapping nor with items()."""
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    row = connection.execute("select x'01' as a").fetchone()
    connection.close()
    with pytest.raises(TypeError, match=r"encode"):
        m.update(row)  # its keys are str: but it has been taken for a mapping
    assert len(m) == 0


def test_update_of_itself(m: AnyMap) -> None:
    m.update(pairs(100))
    m.update(m)
    m |= m
    m.set_many(m.items())
    assert m == dict(pairs(100))


def test_update_without_entries(m: AnyMap) -> None:
    m.update()
    m.update([])
    m.update({})
    assert m == {}
    with pytest.raises(TypeError):
        m.update(a=b"entries are never keywords, since keys are no str")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ([()], ValueError),
        ([(b"k",)], ValueError),
        ([(b"k", b"v", b"w")], ValueError),
        ([7], TypeError),
        (7, TypeError),
        (None, TypeError),
        ([(b"k", "v")], TypeError),
        ([("k", b"v")], TypeError),
        ({b"k": None}, TypeError),
    ],
)
def test_update_from_what_are_no_entries(m: AnyMap, bad: Any, error: type[Exception]) -> None:
    for use in (m.update, m.set_many, ByteMap, m.__ior__):
        with pytest.raises(error):
            use(bad)
    assert len(m) == 0


def test_update_keeps_what_came_before_an_error(m: AnyMap) -> None:
    def interrupted() -> Iterator[tuple[bytes, bytes]]:
        yield from pairs(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        m.update(interrupted())
    assert m == dict(pairs(3))
    with pytest.raises(TypeError):
        m.update([*pairs(4), (b"k", 5), (b"never", b"v")])
    assert m == dict(pairs(4))


def test_fromkeys() -> None:
    keys = [key for key, _ in pairs(10)]
    assert ByteMap.fromkeys(keys) == dict.fromkeys(keys, b"")
    made = ByteMap.fromkeys(iter(keys), b"v")
    assert type(made) is ByteMap
    assert made == dict.fromkeys(keys, b"v")
    for bad in (["text"], [1], None):
        with pytest.raises(TypeError):
            ByteMap.fromkeys(bad)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="encode"):
        ByteMap.fromkeys([b"k"], "v")  # type: ignore[arg-type]


# -- as a mapping -----------------------------------------------------------------------------------------------------


def test_it_is_a_mutable_mapping(m: AnyMap) -> None:
    assert isinstance(m, MutableMapping)
    assert issubclass(ByteMap, MutableMapping)
    m.update(pairs(3))
    match m:
        case {b"key 1": found, **others}:
            assert found == b"value 1"
            assert others == {b"key 0": b"value 0", b"key 2": b"value 2"}
        case _:
            pytest.fail("no mapping to match")


def test_iteration(m: AnyMap) -> None:
    m.update(pairs(500))
    expected = dict(pairs(500))
    assert sorted(m) == sorted(expected)
    assert dict(m.items()) == dict(m) == {**m} == dict(zip(m.keys(), m.values(), strict=True)) == expected
    iterator = iter(m)
    assert iter(iterator) is iterator
    assert len(list(iterator)) == 500
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(iterator)


def test_truth_and_length(m: AnyMap) -> None:
    assert not m
    m[b""] = b""
    assert m
    assert len(m) == 1


def test_it_is_not_hashable(m: AnyMap) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(m)


def test_numbers_of_arguments(m: AnyMap) -> None:
    m[b"k"] = b"v"
    allowed = {
        "get": (1, 2), "setdefault": (2, 2), "pop": (1, 2), "popitem": (0, 0), "clear": (0, 0), "update": (0, 1),
        "insert": (2, 3), "replace": (2, 3), "set": (2, 3), "swap": (2, 3), "compare_and_set": (3, 4),
        "compare_and_delete": (2, 2), "ttl": (1, 1), "expire": (2, 2), "persist": (1, 1), "sweep": (0, 0),
        "add": (1, 2), "count": (1, 1), "get_many": (1, 2), "set_many": (1, 2), "delete_many": (1, 1),
        "retain": (1, 1), "partitions": (1, 1), "get_view": (1, 1), "snapshot": (0, 0), "reserve": (1, 1),
        "shrink": (0, 0), "shard_of": (1, 1), "keys": (0, 0), "values": (0, 0), "items": (0, 0), "view": (0, 0),
        "copy": (0, 0), "diff": (1, 1), "memory": (0, 0), "stats": (0, 0),
    }  # fmt: skip
    for name, (least, most) in allowed.items():
        for count in {*range(least), most + 1, most + 5}:
            with pytest.raises(TypeError):
                getattr(m, name)(*[b"k"] * count)
    calls: tuple[Callable[[], Any], ...] = (
        lambda: m.get(key=b"k"),
        lambda: m.get(b"k", default=b"v"),
        lambda: m.insert(key=b"k", value=b"v"),
        lambda: m.add(b"k", delta=1),
        lambda: m.get_many(keys=[]),
        lambda: m.pop(b"k", default=b"v"),
    )
    for call in calls:
        with pytest.raises(TypeError):
            call()
    assert m == {b"k": b"v"}
