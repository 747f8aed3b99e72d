"""FrozenByteMap: a read-only mapping over a file, for any number of threads, until it is closed."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from bytemaps import AnyMap, outlive, pairs
from concurrency import new_random, run_copies, run_threads, scaled
from snapshot_writer import written
from support import linux_only, run_python_ok

from shardmap import ByteMap, FrozenByteMap, open_snapshot

#: Tests misuse it on purpose.
AnyFrozen: TypeAlias = Any

ENTRIES = dict(pairs(3000)) | {b"": b"", b"large": bytes(range(256)) * 1000, b"\xff": b"", b"\0": b"zero"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture(params=[1, 64])
def frozen(request: pytest.FixtureRequest, path: Path) -> Iterator[AnyFrozen]:
    ByteMap(ENTRIES, shards=request.param).dump(path)
    with open_snapshot(path) as opened:
        yield opened


# -- a mapping --------------------------------------------------------------------------------------------------------


def test_it_is_a_mapping(frozen: AnyFrozen) -> None:
    assert isinstance(frozen, Mapping)
    assert isinstance(frozen, FrozenByteMap)
    assert len(frozen) == len(ENTRIES)
    assert bool(frozen)
    assert frozen == ENTRIES
    assert frozen == ENTRIES
    assert frozen != {**ENTRIES, b"more": b""}
    assert frozen != {**ENTRIES, b"": b"other"}
    assert dict(frozen) == {**frozen} == ENTRIES
    assert ByteMap(frozen) == ENTRIES
    match frozen:
        case {b"key 1": found}:
            assert found == b"value 1"
        case _:
            pytest.fail("no mapping to match")
    with pytest.raises(TypeError, match="unhashable"):
        hash(frozen)
    for change in ("__setitem__", "__delitem__", "update", "pop", "clear", "setdefault"):
        assert not hasattr(frozen, change)


def test_look_ups(frozen: AnyFrozen) -> None:
    for key, value in ENTRIES.items():
        assert frozen[key] == frozen.get(key) == value
        assert frozen.get_view(key) == value
        assert key in frozen
    for key in (b"absent", b"key", b"key 3001", b"\0\0", b"large" * 1000):
        assert key not in frozen
        assert frozen.get(key) is None
        assert frozen.get(key, 3) == 3
        assert frozen.get_view(key) is None
        with pytest.raises(KeyError) as caught:
            frozen[key]
        assert caught.value.args == (key,)


def test_keys_are_bytes_like(frozen: AnyFrozen) -> None:
    for kind in (bytearray, memoryview):
        assert frozen[kind(b"key 1")] == b"value 1"
        assert kind(b"key 1") in frozen
    bad: Any
    for bad in ("key 1", 1, None, [], (1,)):
        for use in (frozen.get, frozen.get_view, frozen.__getitem__, frozen.__contains__):
            with pytest.raises(TypeError):
                use(bad)


def test_iteration_is_sorted(frozen: AnyFrozen) -> None:
    ordered = sorted(ENTRIES)
    for _ in range(2):
        assert list(frozen) == list(frozen.keys()) == ordered
        assert list(frozen.items()) == [(key, ENTRIES[key]) for key in ordered]
        assert list(frozen.values()) == [ENTRIES[key] for key in ordered]
    assert next(iter(frozen)) == b""
    one, other = iter(frozen), iter(frozen)
    assert [*zip(one, other, strict=True)] == [*zip(ordered, ordered, strict=True)]
    assert (b"key 1", b"value 1") in frozen.items()
    assert (b"key 1", b"value 2") not in frozen.items()
    assert b"value 1" in frozen.values()
    assert frozen.keys() & {b"key 1", b"absent"} == {b"key 1"}


def test_keys_that_begin_alike_are_sorted(path: Path) -> None:
    rng = new_random()
    keys = {bytes(rng.choice(b"\0\x01\x7f\x80\xff") for _ in range(rng.randrange(12))) for _ in range(2000)}
    ByteMap.fromkeys(keys, b"value").dump(path)
    with open_snapshot(path) as frozen:
        assert list(frozen) == sorted(keys)


def test_items_need_no_look_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry whose time comes between its key and its value would be missing from one of them."""
    soon = int(time.time() * 1000) + 50
    path.write_bytes(written([(b"soon", b"value", soon), (b"here", b"value", None)]))
    ask = FrozenByteMap.__getitem__

    def late(self: FrozenByteMap, key: bytes) -> bytes:
        while time.time() * 1000 <= soon + 2:
            outlive()
        return ask(self, key)

    monkeypatch.setattr(FrozenByteMap, "__getitem__", late)
    with open_snapshot(path) as frozen:
        assert (b"here", b"value") in list(frozen.items())
        assert b"value" in list(frozen.values())


def test_views_are_read_only_and_stay(path: Path) -> None:
    ByteMap(ENTRIES).dump(path)
    frozen = open_snapshot(path)
    view: Any = frozen.get_view(b"large")
    empty: Any = frozen.get_view(b"")
    assert empty == b""
    assert view.readonly
    assert view.obj is not None
    with pytest.raises(TypeError):
        view[0] = 1
    frozen.close()
    del frozen
    gc.collect()
    path.unlink()
    assert view == ENTRIES[b"large"]


def test_what_it_says_of_itself(frozen: AnyFrozen, path: Path) -> None:
    assert repr(frozen) == f"FrozenByteMap({str(path)!r}, {len(ENTRIES)} entries)"
    assert frozen.path == str(path)
    assert abs(frozen.created - time.time()) < 100
    frozen.verify()
    for refuse in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            refuse(frozen)


# -- closing ----------------------------------------------------------------------------------------------------------


def assert_closed(frozen: AnyFrozen) -> None:
    for ask in (frozen.get, frozen.get_view, frozen.__getitem__, frozen.__contains__):
        with pytest.raises(ValueError, match="closed"):
            ask(b"key 1")
    for use in (frozen.verify, lambda: list(frozen), lambda: list(frozen.items()), lambda: frozen == {}):
        with pytest.raises(ValueError, match="closed"):
            use()
    frozen.close()


def test_close(frozen: AnyFrozen) -> None:
    iterator = iter(frozen)
    next(iterator)
    frozen.close()
    assert_closed(frozen)
    with pytest.raises(ValueError, match="closed"):
        next(iterator)


def test_context_manager(path: Path) -> None:
    ByteMap(ENTRIES).dump(path)
    with open_snapshot(path) as frozen:
        assert frozen[b"key 1"] == b"value 1"
    assert_closed(frozen)
    with pytest.raises(ZeroDivisionError), open_snapshot(path) as frozen:
        raise ZeroDivisionError
    assert_closed(frozen)


def is_mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


@linux_only
def test_the_file_is_let_go(path: Path) -> None:
    """With close(), or when the last view of it has gone; and if nobody closes it, with the object."""
    ByteMap(ENTRIES).dump(path)
    frozen = open_snapshot(path)
    list(frozen)
    assert is_mapped(path)
    frozen.close()
    gc.collect()
    assert not is_mapped(path)
    frozen = open_snapshot(path)
    view: Any = frozen.get_view(b"large")
    frozen.close()
    gc.collect()
    assert is_mapped(path)
    assert view == ENTRIES[b"large"]
    del view
    gc.collect()
    assert not is_mapped(path)
    frozen = open_snapshot(path)
    assert is_mapped(path)
    del frozen
    gc.collect()
    assert not is_mapped(path)


CLOSED_MEANWHILE = """
import os, sys, threading
from shardmap import ByteMap, SnapshotError, open_snapshot

path, ask = sys.argv[1:]
m = ByteMap(((b"key %d" % n, b"v" * 50_000) for n in range(600)), shards=4)
m.dump(path)
for turn in range(10):
    frozen = open_snapshot(path)
    asking = threading.Event()

    def body():
        asking.set()
        try:
            if ask == "verify":
                frozen.verify()
            elif ask == "iterate":
                list(frozen)
            else:
                for n in range(600):
                    assert frozen.get(b"key %d" % n) is not None
                    assert frozen.get_view(b"key %d" % n) is not None
        except ValueError as error:
            assert not isinstance(error, SnapshotError)

    threads = [threading.Thread(target=body) for _ in range(2)]
    for thread in threads:
        thread.start()
    asking.wait()
    for _ in range(turn * 300):
        pass
    frozen.close()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("ask", ["verify", "iterate", "get"])
def test_closed_while_others_look(ask: str, path: Path) -> None:
    """They get what they asked for, or the error; in a child, since the alternative is the end of the process."""
    run_python_ok(CLOSED_MEANWHILE, str(path), ask)


# -- many threads -----------------------------------------------------------------------------------------------------


def test_many_threads(frozen: AnyFrozen) -> None:
    rng = new_random()
    seeds = [rng.getrandbits(32) for _ in range(4)]

    def look(i: int) -> None:
        own = random.Random(seeds[i])
        keys = list(ENTRIES)
        for _ in range(scaled(2000)):
            key = own.choice(keys)
            assert frozen[key] == ENTRIES[key]
            assert frozen.get(key + b"?") is None
        if i % 2:
            frozen.verify()
        assert list(frozen) == sorted(ENTRIES)

    run_copies(look)


def test_the_first_iteration_by_many_threads(frozen: AnyFrozen) -> None:
    """Each of them may be the one that sorts."""
    found = run_copies(lambda i: dict(frozen.items()))
    assert all(entries == ENTRIES for entries in found)


def test_dumps_replace_the_file_while_others_open_it(path: Path) -> None:
    generations = scaled(20)
    maps: list[AnyMap] = [ByteMap((b"%d" % n, b"%d" % g) for n in range(300)) for g in range(3)]
    maps[0].dump(path)

    def dump() -> None:
        for number in range(generations):
            maps[number % 3].dump(path)

    def look() -> None:
        with open_snapshot(path) as frozen:
            assert len(set(frozen.values())) == 1
            assert len(frozen) == 300

    run_threads([dump], [look, look])
    assert os.listdir(path.parent) == ["snapshot"]
