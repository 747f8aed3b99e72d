"""get_view: memory of the map, lent without a copy; valid and unchanged whatever happens to entry and map."""

# Scenarios are tuples of calls whose results nobody looks at.
# mypy: disable-error-code="func-returns-value"

from __future__ import annotations

import gc
import hashlib
import pickle
import struct
from collections.abc import Callable
from typing import Any

import pytest
from bytemaps import LONG, VARIANTS, AnyMap, pairs, pass_away
from concurrency import new_random

from shardmap import ByteMap

SIZES = [0, 1, 5, 8, 100, 511, 1024, 16 * 1024, 40_000]


def test_a_view_of_what_is_there(m: AnyMap) -> None:
    assert m.get_view(b"absent") is None
    for size in SIZES:
        value = new_random().randbytes(size)
        m[b"k"] = value
        view = m.get_view(b"k")
        assert type(view) is memoryview
        assert view == bytes(view) == view.tobytes() == value
        assert len(view) == size
        assert (view.nbytes, view.itemsize, view.format, view.ndim, view.c_contiguous) == (size, 1, "B", 1, True)
        assert list(view) == list(value)
        assert hash(view) == hash(value)
        assert view[1:3] == value[1:3]
        assert hashlib.sha256(view).digest() == hashlib.sha256(value).digest()


def test_it_is_read_only(m: AnyMap) -> None:
    m[b"k"] = bytes(range(16))
    view = m.get_view(b"k")
    assert view.readonly
    with pytest.raises(TypeError, match="read-only"):
        view[0] = 1
    with pytest.raises(TypeError):
        view[:] = bytes(16)
    with pytest.raises((TypeError, BufferError)):
        struct.pack_into("I", view, 0, 1)
    with pytest.raises((TypeError, ValueError, BufferError)):
        memoryview(view.obj)[0] = 1
    with pytest.raises(TypeError):
        pickle.dumps(view)
    with pytest.raises(TypeError):
        pickle.dumps(view.obj)
    assert m[b"k"] == bytes(range(16))


def same_size(m: AnyMap) -> None:
    m[b"k"] = bytes(len(m[b"k"]))


def grow(m: AnyMap) -> None:
    m.update(pairs(2000))
    m.delete_many(key for key, _ in pairs(2000))


def churn(m: AnyMap) -> None:
    """Whatever memory is given back is used again for something else."""
    for step in range(200):
        m[b"%d" % step] = b"x" * (step % 50)
        m[b"k"] = b"y" * (step % 64)
        m.pop(b"%d" % (step - 20), None)


CHANGES: dict[str, Callable[[AnyMap], Any]] = {
    "same value again": lambda m: m.__setitem__(b"k", m[b"k"]),
    "same size": same_size,
    "same size, several times": lambda m: [same_size(m) for _ in range(5)],
    "one more": lambda m: m.__setitem__(b"k", m[b"k"] + b"\1"),
    "much more": lambda m: m.__setitem__(b"k", bytes(70_000)),
    "less": lambda m: m.__setitem__(b"k", b""),
    "add": lambda m: (m.__setitem__(b"k", b"1"), m.add(b"k", 10**10)),
    "swap": lambda m: m.swap(b"k", bytes(5)),
    "compare_and_set": lambda m: m.compare_and_set(b"k", m[b"k"], bytes(len(m[b"k"]))),
    "with a time to live": lambda m: m.set(b"k", bytes(len(m[b"k"])), ttl=LONG),
    "expire": lambda m: (m.expire(b"k", LONG), same_size(m)),
    "expire and persist": lambda m: (m.expire(b"k", LONG), m.persist(b"k"), same_size(m)),
    "delete": lambda m: m.__delitem__(b"k"),
    "delete and set": lambda m: (m.__delitem__(b"k"), m.__setitem__(b"k", bytes(8))),
    "pop": lambda m: m.pop(b"k"),
    "popitem": lambda m: [m.popitem() for _ in range(len(m))],
    "compare_and_delete": lambda m: m.compare_and_delete(b"k", m[b"k"]),
    "delete_many": lambda m: m.delete_many([b"k"]),
    "retain": lambda m: m.retain(lambda key, value: False),
    "the end of its time": lambda m: (pass_away(m, [b"k"]), m.get(b"k")),
    "a sweep": lambda m: (pass_away(m, [b"k"]), m.sweep()),
    "clear": lambda m: m.clear(),
    "clear, several times": lambda m: [(m.clear(), m.update(pairs(50))) for _ in range(3)],
    "growth": grow,
    "growth and shrink": lambda m: (grow(m), m.shrink()),
    "churn": churn,
    "churn and clear": lambda m: (churn(m), m.clear(), churn(m)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_nothing_changes_a_view(m: AnyMap, name: str) -> None:
    for size in SIZES:
        value = new_random().randbytes(size)
        m.clear()
        m.update(pairs(20))
        m[b"k"] = value
        views = [m.get_view(b"k"), m.get_view(b"k")]
        slices = [views[0][size // 2 :], memoryview(views[1].obj)]
        CHANGES[name](m)
        m._check()
        assert views[0] == views[1] == slices[1] == value
        assert slices[0] == value[size // 2 :]
        del views[0]
        churn(m)
        m._check()
        assert views[0] == value
        assert slices[0] == value[size // 2 :]
        del views, slices
        m._check()
        assert m.stats()["kept"] == 0


def test_a_view_outlives_its_map() -> None:
    for make in VARIANTS.values():
        m = make()
        expected = {b"%d" % size: new_random().randbytes(size) for size in SIZES}
        m.update(expected)
        m.set(b"dies", b"in time", ttl=LONG)
        views = {key: m.get_view(key) for key in m}
        del m
        gc.collect()
        others = [ByteMap(pairs(100)) for _ in range(20)]
        for key, value in expected.items():
            assert views.pop(key) == value
        assert views.pop(b"dies") == b"in time"
        assert len(others) == 20


def test_views_of_a_map_that_goes_on_after_clear() -> None:
    for make in VARIANTS.values():
        m = make()
        views = []
        for generation in range(5):
            m.update((key, value + b" %d" % generation) for key, value in pairs(100))
            views.append([m.get_view(key) for key, _ in pairs(100)])
            m.clear()
            m._check()
        for generation, each in enumerate(views):
            assert [bytes(view) for view in each] == [value + b" %d" % generation for _, value in pairs(100)]
        assert m.stats()["kept"] == 500
        m.update(pairs(100))
        del m
        assert views[4][99] == b"value 99 4"


def test_memory_comes_back_after_the_last_view(m: AnyMap) -> None:
    m[b"first"] = b"v"
    m.pop(b"first")
    for size in SIZES:
        m[b"k"] = bytes(size)
        views = [m.get_view(b"k") for _ in range(3)]
        del m[b"k"]
        for left in (3, 2, 1):
            assert m.stats()["kept"] == left
            assert m.memory().used > 0
            assert m.memory().content >= size
            views.pop()
        assert m.stats()["kept"] == m.memory().used == m.memory().content == 0
        m._check()
    m[b"k"] = bytes(1 << 20)
    view = m.get_view(b"k")
    m.clear()
    kept = m.memory().reserved
    assert kept >= 1 << 20
    view.release()
    assert m.memory().reserved <= kept - (1 << 20)


def test_what_holds_a_view_holds_the_memory(m: AnyMap) -> None:
    """A cast, a slice, a memoryview of it: the last one of all gives the memory back."""
    m[b"k"] = bytes(range(64))
    view = m.get_view(b"k")
    derived = view[8:16].cast("Q")
    view.release()
    del m[b"k"]
    assert m.stats()["kept"] == 1
    assert derived[0] == int.from_bytes(range(8, 16), "little")
    with pytest.raises(ValueError, match="released"):
        view[0]
    derived.release()
    assert m.stats()["kept"] == 0


def test_many_views(m: AnyMap) -> None:
    m.update(pairs(300))
    rng = new_random()
    views: list[tuple[memoryview, bytes]] = []
    for step in range(3000):
        key = b"key %d" % rng.randrange(300)
        m[key] = b"%d" % step * rng.randrange(1, 30)
        views.append((m.get_view(key), m[key]))
        if len(views) > 200:
            view, value = views.pop(rng.randrange(200))
            assert view == value
        if step % 500 == 0:
            m._check()
    del view
    assert m.stats()["kept"] == len(views)
    for view, value in views:
        assert view == value
    views.clear()
    del view
    m._check()
    assert m.stats()["kept"] == 0
