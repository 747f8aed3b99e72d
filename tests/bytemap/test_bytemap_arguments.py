"""What counts as bytes: every bytes-like object, taken by its buffer and by nothing else, and only such objects."""

from __future__ import annotations

import array
import mmap
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from bytemaps import AnyMap

from shardmap import ByteMap

#: Every operation that takes a key, and every one that takes a value (with a key that is absent, and that is present).
WITH_KEY: dict[str, Callable[[AnyMap, Any], Any]] = {
    "[]": lambda m, key: m[key],
    "[]=": lambda m, key: m.__setitem__(key, b"v"),
    "del": lambda m, key: m.__delitem__(key),
    "in": lambda m, key: key in m,
    "get": lambda m, key: m.get(key),
    "setdefault": lambda m, key: m.setdefault(key, b"v"),
    "pop": lambda m, key: m.pop(key),
    "pop with default": lambda m, key: m.pop(key, None),
    "set": lambda m, key: m.set(key, b"v"),
    "insert": lambda m, key: m.insert(key, b"v"),
    "replace": lambda m, key: m.replace(key, b"v"),
    "swap": lambda m, key: m.swap(key, b"v"),
    "compare_and_set": lambda m, key: m.compare_and_set(key, b"v", b"w"),
    "compare_and_delete": lambda m, key: m.compare_and_delete(key, b"v"),
    "ttl": lambda m, key: m.ttl(key),
    "expire": lambda m, key: m.expire(key, 1000),
    "persist": lambda m, key: m.persist(key),
    "add": lambda m, key: m.add(key),
    "count": lambda m, key: m.count([key]),
    "get_many": lambda m, key: m.get_many([b"k", key]),
    "set_many": lambda m, key: m.set_many([(key, b"v")]),
    "update": lambda m, key: m.update([(key, b"v")]),
    "delete_many": lambda m, key: m.delete_many([key]),
    "get_view": lambda m, key: m.get_view(key),
    "shard_of": lambda m, key: m.shard_of(key),
    "fromkeys": lambda m, key: ByteMap.fromkeys([key]),
    "in keys()": lambda m, key: key in m.keys(),  # noqa: SIM118
    "in items()": lambda m, key: (key, b"v") in m.items(),
}
WITH_VALUE: dict[str, Callable[[AnyMap, Any], Any]] = {
    "[]=": lambda m, value: m.__setitem__(b"k", value),
    "setdefault": lambda m, value: m.setdefault(b"k", value),
    "set": lambda m, value: m.set(b"k", value),
    "insert": lambda m, value: m.insert(b"k", value),
    "replace": lambda m, value: m.replace(b"k", value),
    "swap": lambda m, value: m.swap(b"k", value),
    "compare_and_set, new": lambda m, value: m.compare_and_set(b"k", b"old", value),
    "compare_and_set, expected": lambda m, value: m.compare_and_set(b"k", value, b"v"),
    "compare_and_delete": lambda m, value: m.compare_and_delete(b"k", value),
    "set_many": lambda m, value: m.set_many([(b"k", value)]),
    "update": lambda m, value: m.update({b"k": value}),
    "fromkeys": lambda m, value: ByteMap.fromkeys([b"k"], value),
}


class Text(str):
    """A subclass is text all the same."""

    __slots__ = ()


@pytest.mark.parametrize("text", ["k", "", "ü", Text("k")])
@pytest.mark.parametrize("role", ["keys", "values"])
def test_text_has_to_be_encoded(m: AnyMap, role: str, text: str) -> None:
    m[b"k"] = b"old"
    for name, use in (WITH_KEY if role == "keys" else WITH_VALUE).items():
        with pytest.raises(TypeError) as caught:
            use(m, text)
        for part in (role, "bytes-like", "not str", ".encode()"):
            assert part in str(caught.value), f"{name}: {caught.value}"
    assert m == {b"k": b"old"}


@pytest.mark.parametrize("bad", [None, 5, 1.5, ("k",), ["k"], {1}, object(), array, bytes, [98]], ids=repr)
@pytest.mark.parametrize("role", ["keys", "values"])
def test_what_has_no_bytes(m: AnyMap, role: str, bad: Any) -> None:
    m[b"k"] = b"old"
    for name, use in (WITH_KEY if role == "keys" else WITH_VALUE).items():
        with pytest.raises(TypeError) as caught:
            use(m, bad)
        for part in (role, "bytes-like", f"not {type(bad).__name__}"):
            assert part in str(caught.value), f"{name}: {caught.value}"
    assert m == {b"k": b"old"}


def test_what_cannot_be_read_any_more(m: AnyMap) -> None:
    m[b"k"] = b"old"
    released = memoryview(b"k")
    released.release()
    for table in (WITH_KEY, WITH_VALUE):
        for use in table.values():
            with pytest.raises(ValueError, match="released"):
                use(m, released)
    assert m == {b"k": b"old"}


# -- bytes-like objects -----------------------------------------------------------------------------------------------


def mapped(content: bytes) -> mmap.mmap:
    made = mmap.mmap(-1, max(len(content), 1))
    made.write(content)
    return made


CONTENT = bytes(range(8, 24))
BYTES_LIKE: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CONTENT,
    "bytearray": lambda: bytearray(CONTENT),
    "memoryview": lambda: memoryview(CONTENT),
    "writable memoryview": lambda: memoryview(bytearray(CONTENT)),
    "slice": lambda: memoryview(b"--" + CONTENT + b"--")[2:-2],
    "every other": lambda: memoryview(bytes(n for c in CONTENT for n in (c, 255)))[::2],
    "reversed": lambda: memoryview(CONTENT[::-1])[::-1],
    "two dimensions": lambda: memoryview(CONTENT).cast("B", (4, 4)),
    "characters": lambda: memoryview(CONTENT).cast("c"),
    "numbers": lambda: memoryview(CONTENT).cast("I"),
    "array": lambda: array.array("H", CONTENT),
    "mmap": lambda: mapped(CONTENT),
}


@pytest.mark.parametrize("kind", BYTES_LIKE)
def test_every_kind_is_the_same_key(m: AnyMap, kind: str) -> None:
    for write in BYTES_LIKE.values():
        m[write()] = b"v"
        key = BYTES_LIKE[kind]()
        assert m[key] == m.get(key) == m.pop(key) == b"v"
        assert len(m) == 0
    assert m.setdefault(BYTES_LIKE[kind](), b"v") == b"v"
    assert m.get_many([BYTES_LIKE[kind]()] * 20) == [b"v"] * 20
    assert m.shard_of(BYTES_LIKE[kind]()) == m.shard_of(CONTENT)
    assert m.delete_many([BYTES_LIKE[kind]()]) == 1
    m.count([BYTES_LIKE[kind]()] * 3)
    assert m.add(BYTES_LIKE[kind](), 4) == 7
    assert list(m) == [CONTENT]


@pytest.mark.parametrize("kind", BYTES_LIKE)
def test_every_kind_is_the_same_value(m: AnyMap, kind: str) -> None:
    make = BYTES_LIKE[kind]
    m[b"k"] = make()
    assert m[b"k"] == CONTENT
    assert m.compare_and_set(b"k", make(), b"v")
    assert m.swap(b"k", make()) == b"v"
    assert m.replace(b"k", make())
    assert m.compare_and_delete(b"k", make())
    assert m.insert(b"k", make())
    assert type(m.setdefault(b"new", make())) is bytes
    assert m == {b"k": CONTENT, b"new": CONTENT}


def test_later_changes_of_the_source_do_not_show(m: AnyMap) -> None:
    key, value = bytearray(b"key"), bytearray(b"value")
    m[key] = value
    key[:] = b"other key"
    value[0] = 0
    assert m == {b"key": b"value"}
    value.extend(b"no buffer of it is held any more")


def test_a_key_may_be_a_view_of_the_map_itself(m: AnyMap) -> None:
    m[b"a"] = b"b"
    m[b"b"] = b"c"
    view = m.get_view(b"a")
    assert m[view] == b"c"
    m[b"a"] = view
    m[view] = view
    assert m == {b"a": b"b", b"b": b"b"}


# -- subclasses -------------------------------------------------------------------------------------------------------


class Hostile(bytes):
    """Bytes whose methods lie and raise: the map looks at the octets and asks nothing."""

    __slots__ = ()

    def _never(self, *arguments: object) -> NoReturn:
        raise AssertionError("the map has run a method of a key or value")

    __bytes__ = __eq__ = __ne__ = __lt__ = __len__ = __iter__ = __getitem__ = __bool__ = __str__ = _never
    __contains__ = __index__ = __reduce__ = __reduce_ex__ = __add__ = tobytes = decode = _never  # type: ignore[assignment]
    __hash__ = _never
    __repr__ = object.__repr__


class HostileArray(bytearray):
    """The same over a bytearray."""

    _never = Hostile._never
    __bytes__ = __eq__ = __ne__ = __len__ = __iter__ = __getitem__ = __bool__ = __str__ = _never
    __contains__ = __index__ = __reduce__ = __reduce_ex__ = __hash__ = _never  # type: ignore[assignment]
    __repr__ = object.__repr__


@pytest.mark.parametrize("hostile", [Hostile, HostileArray])
def test_methods_of_subclasses_never_run(m: AnyMap, hostile: Callable[[bytes], Any]) -> None:
    for present in (False, True):
        for name, use in WITH_KEY.items():
            m.clear()
            if present:
                m[b"k"] = b"1"
            try:
                use(m, hostile(b"k"))
            except KeyError:
                assert not present, name
        for use in WITH_VALUE.values():
            m.clear()
            if present:
                m[b"k"] = b"old"
            use(m, hostile(b"old"))
    m[hostile(b"k")] = hostile(b"v")
    (item,) = m.items()
    assert list(map(type, item)) == [bytes, bytes]
    assert item == (b"k", b"v")
    assert m.popitem() == (b"k", b"v")


def test_subclasses_that_behave(m: AnyMap) -> None:
    class Name(bytes):
        __slots__ = ()

    m[Name(b"k")] = Name(b"v")
    assert m[b"k"] == b"v"
    assert type(m[Name(b"k")]) is bytes
    assert [type(key) for key in m] == [bytes]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="since 3.12 a class can give out a buffer")
def test_a_buffer_made_in_python_may_use_the_map(m: AnyMap) -> None:
    """It is asked for before anything is locked, and what it raises goes to the caller."""

    class Maker:
        def __init__(self, make: Callable[[], Any]) -> None:
            self.make = make

        def __buffer__(self, flags: int) -> memoryview:
            return memoryview(self.make())

    def raising() -> Any:
        raise ZeroDivisionError

    m[Maker(lambda: m.setdefault(b"inner", b"k"))] = Maker(lambda: m.swap(b"inner", b"v", b"none"))
    assert m == {b"inner": b"v", b"k": b"k"}
    for name, use in WITH_KEY.items():
        if name != "fromkeys":
            m.clear()
            m[b"k"] = b"1"
            use(m, Maker(lambda: (m.clear(), m.update({b"k": b"1"}), b"k")[-1]))
            m._check()
        with pytest.raises(ZeroDivisionError):
            use(m, Maker(raising))
    for use in WITH_VALUE.values():
        with pytest.raises(ZeroDivisionError):
            use(m, Maker(raising))
