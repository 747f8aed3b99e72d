"""max_memory without eviction: the bound holds at every moment, what does not fit is refused, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bytemaps import LONG, AnyMap, pass_away, stressed
from concurrency import new_random
from support import run_python_ok

from shardmap import ByteMap, ConfigError

LIMIT = 1 << 20
SETUPS: dict[str, Callable[[], AnyMap]] = {
    "one-shard": lambda: ByteMap(shards=1, max_memory=LIMIT),
    "few-shards": lambda: ByteMap(shards=4, max_memory=LIMIT),
    "many-shards": lambda: ByteMap(shards=16, max_memory=LIMIT),
    "least": lambda: ByteMap(shards=1, max_memory=64 * 1024),
    "stressed": lambda: stressed(2, shards=2, limit=256 * 1024),
}
#: Sizes of values: of one size, mixed, in memory of their own (LIMIT / shards / 64 and more is large), of all kinds.
SIZES: dict[str, Callable[[random.Random], int]] = {
    "equal": lambda rng: 100,
    "empty": lambda rng: 0,
    "mixed": lambda rng: int(rng.expovariate(1 / 150)),
    "large": lambda rng: 9_000,
    "all": lambda rng: int(2 ** rng.uniform(0, 13)),
}


@pytest.fixture(params=SETUPS)
def m(request: pytest.FixtureRequest) -> Iterator[AnyMap]:
    """An empty map with a small bound, that was never exceeded where a test asked, and is not at the end."""
    made = SETUPS[request.param]()
    yield made
    made._check()
    assert made.stats()["evicted"] == 0
    assert within_bound(made)


def within_bound(m: AnyMap) -> bool:
    """Is it? True, so that it can be asserted wherever something has changed."""
    memory = m.memory()
    assert memory.reserved <= memory.max_memory, memory
    assert memory.used + memory.tables <= memory.reserved
    return True


def fill(m: AnyMap, size: Callable[[random.Random], int], prefix: bytes = b"") -> dict[bytes, bytes]:
    """Set new keys until ten were refused; what is in the map."""
    rng = new_random()
    entries: dict[bytes, bytes] = {}
    refused = number = 0
    while refused < 10:
        key, value = prefix + b"%d" % number, rng.randbytes(size(rng))
        number += 1
        try:
            m[key] = value
            entries[key] = value
        except MemoryError as error:
            refused += 1
            assert "max_memory" in str(error)
            assert key not in m
        assert within_bound(m)
    return entries


@pytest.mark.parametrize("kind", SIZES)
def test_nothing_is_lost(m: AnyMap, kind: str) -> None:
    entries = fill(m, SIZES[kind])
    assert entries
    assert m == entries
    assert len(m) == len(entries)
    for key, value in entries.items():
        assert m[key] == value


@pytest.mark.parametrize("kind", ["equal", "mixed", "large"])
def test_the_bound_is_made_use_of(kind: str) -> None:
    """At least two thirds of it hold entries: neither tables, nor free blocks, nor shards take much more."""
    for shards in (1, 4):
        m = ByteMap(shards=shards, max_memory=LIMIT)
        fill(m, SIZES[kind])
        assert m.memory().used > LIMIT * 2 // 3


@pytest.mark.parametrize("kind", ["equal", "empty", "mixed"])
def test_overwriting_with_the_same_size_works_at_the_bound(m: AnyMap, kind: str) -> None:
    """In place, unless the value has memory of its own, or somebody looks at it."""
    entries = fill(m, SIZES[kind])
    small = [key for key, value in entries.items() if len(key) + len(value) < 512]
    assert small
    for write in (m.__setitem__, m.set, m.replace):
        for key in small:
            entries[key] = entries[key][::-1]
            write(key, entries[key])
    for key in small:
        former, entries[key] = entries[key], bytes(len(entries[key]))
        assert m.compare_and_set(key, former, entries[key])
    assert m == entries
    assert within_bound(m)


def overwrites(m: AnyMap, entries: dict[bytes, bytes], rng: random.Random) -> Iterator[bool]:
    """Of random keys with random sizes, some in the ways that want the former value too: was it done?"""
    for _ in range(300):
        key = rng.choice(list(entries))
        value = rng.randbytes(int(2 ** rng.uniform(8, 13)))
        former = entries[key]
        write = rng.choice([m.__setitem__, m.swap, m.replace, lambda key, value: m.set(key, value, ttl=LONG)])
        try:
            write(key, value)
            entries[key] = value
            yield True
        except MemoryError:
            assert m[key] == former
            yield False
        assert within_bound(m)


def test_a_refused_overwrite_leaves_the_former_value(m: AnyMap) -> None:
    rng = new_random()
    entries = fill(m, SIZES["all"])
    done = list(overwrites(m, entries, rng))
    assert m == entries
    assert False in done
    assert m.stats()["kept"] == 0


def test_a_condition_that_does_not_hold_needs_no_room(m: AnyMap) -> None:
    """The answer is no, not that there is no memory."""
    entries = fill(m, SIZES["equal"])
    key = next(iter(entries))
    big = bytes(m.memory().max_memory // 3)
    assert m.insert(key, big) is False
    assert m.setdefault(key, big) == entries[key]
    assert m.compare_and_set(key, b"other", big) is False
    assert m.compare_and_set(b"absent", b"other", big) is False
    assert m.replace(b"absent", big) is False
    assert m == entries
    assert m.stats()["kept"] == 0


def test_every_write_is_refused_in_the_same_way(m: AnyMap) -> None:
    """And changes nothing."""
    entries = fill(m, SIZES["equal"])
    key = next(iter(entries))
    big = bytes(m.memory().max_memory // 3)
    writes: dict[str, Callable[[], Any]] = {
        "[]=": lambda: m.__setitem__(b"new", big),
        "set": lambda: m.set(b"new", big, ttl=LONG),
        "insert": lambda: m.insert(b"new", big),
        "replace": lambda: m.replace(key, big),
        "swap": lambda: m.swap(key, big),
        "setdefault": lambda: m.setdefault(b"new", big),
        "compare_and_set": lambda: m.compare_and_set(key, entries[key], big),
        "set_many": lambda: m.set_many([(b"new", big)]),
        "update": lambda: m.update({b"new": big}),
    }
    for name, write in writes.items():
        with pytest.raises(MemoryError, match=r"max_memory=.*delete entries"):
            write()
        assert within_bound(m), name
    assert m == entries
    assert m.stats()["kept"] == 0


def test_counting_and_deadlines_at_the_bound(m: AnyMap) -> None:
    """Both may need room for a copy; refused or not, the value is right."""
    entries = fill(m, lambda rng: 1)
    for key in list(entries)[:400]:
        m[key] = entries[key] = b"9"
        try:
            assert m.expire(key, LONG)
            assert m.ttl(key) > 0
        except MemoryError:
            assert m.ttl(key) is None
        try:
            assert m.add(key, 10**18) == 10**18 + 9
            entries[key] = b"%d" % (10**18 + 9)
        except MemoryError:
            assert m[key] == b"9"
    assert m == entries
    assert within_bound(m)


@pytest.mark.parametrize("kind", SIZES)
def test_deleting_makes_room(m: AnyMap, kind: str) -> None:
    """For the very same entries, and more than once."""
    entries = fill(m, SIZES[kind])
    for _ in range(3):
        gone = list(entries)[::2]
        removed = {key: entries.pop(key) for key in gone}
        assert m.delete_many(gone) == len(gone)
        m._check()
        kept_out = 0
        for key, value in removed.items():
            try:
                m[key] = value
                entries[key] = value
            except MemoryError:
                kept_out += 1
            assert within_bound(m)
        # A region that was given back may go to another shard, or to a table, so some may find their room taken.
        assert kept_out <= len(gone) // 2
        assert m == entries
    used = m.memory().used
    m.clear()
    assert within_bound(m)
    fill(m, SIZES[kind], b"again")
    assert m.memory().used >= used // 2


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_one_deleted_makes_room_for_one(size: int) -> None:
    """Of the same size, in the same shard: whatever the size, and however often."""
    m: Any = ByteMap(shards=1, max_memory=LIMIT)
    entries = fill(m, lambda rng: size)
    for number, key in enumerate(list(entries)[:300]):
        del m[key]
        new = b"n%0*d" % (len(key), number)
        m[new[: len(key)] if size else key] = bytes(size)
        del m[new[: len(key)] if size else key]
        m[key] = entries[key]
        assert within_bound(m)
    assert m == entries
    m._check()


@pytest.mark.parametrize("shards", [1, 4, 16])
def test_what_is_deleted_makes_room_for_something_large(shards: int) -> None:
    """The shards may keep some of the free memory for themselves, but not against a write that needs it."""
    m: Any = ByteMap(shards=shards, max_memory=LIMIT)
    entries = fill(m, SIZES["equal"])
    assert m.delete_many(entries) == len(entries)
    value = new_random().randbytes(LIMIT * 3 // 5)
    m[b"large"] = value
    assert m == {b"large": value}
    assert within_bound(m)
    m._check()


def test_what_is_over_makes_room() -> None:
    """In whichever shard it is: without eviction too, entries whose time is over are nothing to be kept."""
    for shards in (1, 4):
        m: Any = ByteMap(shards=shards, max_memory=LIMIT)
        old = fill(m, SIZES["equal"], b"old ")
        due = pass_away_as_far_as_there_is_room(m, old)
        new = fill(m, SIZES["equal"], b"new ")
        assert len(new) > len(old) * 9 // 10
        assert m == new
        stats = m.stats()
        assert (stats["evicted"], stats["expired"] + stats["deadlines"]) == (0, due)
        assert within_bound(m)
        m._check()


def pass_away_as_far_as_there_is_room(m: AnyMap, entries: dict[bytes, bytes]) -> int:
    """A deadline takes a word, for which there is no room in a full map: so they are set anew with one. How many."""
    m.clear()
    for key, value in entries.items():
        try:
            m.set(key, value, ttl=LONG)
        except MemoryError:
            break
    count = len(m)
    pass_away(m, list(m))
    return count


def test_what_is_over_in_another_shard_makes_room() -> None:
    m: Any = ByteMap(shards=4, max_memory=LIMIT)
    keys = {shard: [key for key in (b"%d" % n for n in range(60_000)) if m.shard_of(key) == shard] for shard in (0, 1)}
    with pytest.raises(MemoryError):
        m.set_many(((key, bytes(100)) for key in keys[0]), ttl=LONG)
    count = len(m)
    pass_away(m, list(m))
    for key in keys[1][: count * 9 // 10]:
        m[key] = bytes(100)
        assert within_bound(m)
    assert len(list(m)) == count * 9 // 10
    m._check()


def test_views_at_the_bound(m: AnyMap) -> None:
    """What a view keeps is counted; it comes back when the view goes."""
    entries = fill(m, SIZES["mixed"])
    keys = list(entries)[: len(entries) // 2]
    views = [m.get_view(key) for key in keys]
    used = m.memory().used
    assert m.delete_many(keys) == len(keys)
    assert m.memory().used == used
    assert within_bound(m)
    with pytest.raises(MemoryError):
        m[b"new"] = bytes(m.memory().max_memory // 3)
    assert [bytes(view) for view in views] == [entries[key] for key in keys]
    views.clear()
    assert m.memory().used < used * 3 // 4
    again = keys[: len(keys) // 2]
    for key in again:
        with contextlib.suppress(MemoryError):
            m[key] = entries[key]
    assert sum(key in m for key in again) > len(again) * 3 // 4
    m._check()


def test_from_large_entries_to_small_ones_and_back(m: AnyMap) -> None:
    """Memory of one kind is given back so that the other can have it."""
    least: dict[str, int] = {}
    for kind in ["large", "equal", "large", "empty", "all", "equal", "large"]:
        entries = fill(m, SIZES[kind], kind.encode())
        assert m == entries
        assert len(entries) >= least.setdefault(kind, len(entries)) * 3 // 4
        for key in entries:
            del m[key]
        m.shrink()
        assert len(m) == 0
        assert within_bound(m)
        m._check()


def test_too_large_whatever_is_deleted(m: AnyMap) -> None:
    limit = m.memory().max_memory
    m[b"k"] = b"v"
    writes: tuple[Callable[[], Any], ...] = (
        lambda: m.__setitem__(b"new", bytes(limit)),
        lambda: m.insert(bytes(limit), b"v"),
        lambda: m.replace(b"k", bytes(limit * 2)),
        lambda: m.swap(b"k", bytes(limit + 1)),
    )
    for write in writes:
        with pytest.raises(ValueError, match=f"max_memory={limit}"):
            write()
    assert m == {b"k": b"v"}


def test_tables_are_on_the_bound_too(m: AnyMap) -> None:
    m[b"k"] = b"v"
    for n in (10**6, 10**8, 10**12):
        with pytest.raises(MemoryError):
            m.reserve(n)
        assert within_bound(m)
    with pytest.raises(MemoryError):
        ByteMap(shards=1, max_memory=LIMIT, capacity=10**6)
    with pytest.raises(ConfigError):
        ByteMap(shards=1, max_memory=LIMIT, capacity=-1)
    for bad in (-1, 2**48, 2**64):
        with pytest.raises(ValueError, match="reserve"):
            m.reserve(bad)
    assert m == {b"k": b"v"}


def test_whole_map_operations_at_the_bound(m: AnyMap) -> None:
    entries = fill(m, SIZES["all"])
    assert m.snapshot() == dict(m.items()) == entries
    assert m.retain(lambda key, value: True) == 0
    with contextlib.suppress(MemoryError):
        m.shrink()  # it needs room for the smaller table beside the larger one
    m.sweep()
    assert m == entries
    assert within_bound(m)
    popped = dict(m.popitem() for _ in range(len(entries)))
    assert popped == entries


def test_the_bound_of_a_map_in_use() -> None:
    """Lowered below what is there nothing goes; writes are refused until there is room, or the bound is raised."""
    m: Any = ByteMap(shards=4)
    m.update((b"%d" % number, bytes(100)) for number in range(5000))
    before = m.snapshot()
    m._bound(256 * 1024, 0)
    assert m == before
    with pytest.raises(MemoryError):
        m.update((b"new %d" % number, bytes(100)) for number in range(5000))
    assert before.items() <= m.snapshot().items()
    m._bound(4 << 20, 0)
    m.update((b"more %d" % number, bytes(100)) for number in range(5000))
    m._bound(0, 0)
    m.update((b"large %d" % number, bytes(50_000)) for number in range(100))
    m._check()
    assert before.items() <= m.snapshot().items()


FORK = f"""
import os, signal, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from bytemaps import LONG, VARIANTS, pairs, stressed

maps = [make() for make in VARIANTS.values()] + [stressed(1, shards=2, limit=1 << 20)]
views = []
for m in maps:
    m.update(pairs(700))  # the stressed ones are in the middle of a move
    m.set_many(((b"large %d" % number, bytes(9000)) for number in range(9)), ttl=LONG)
    views += [m.get_view(b"large 3"), m.get_view(b"key 7")]
    m.delete_many([b"large 3", *(b"key %d" % number for number in range(0, 700, 3))])
maps[0].clear()
before = [m.memory() for m in maps]
child = os.fork()
if child == 0:
    signal.alarm(60)
    for m, memory in zip(maps, before):
        assert m.memory() == memory, (m.memory(), memory)
    views.clear()
    for m in maps:
        m.clear()
        m._check()
    empty = [m.memory().reserved for m in maps]
    for m in maps:
        m.update(pairs(500))
        m.clear()
    assert [m.memory().reserved for m in maps] == empty
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert [m.memory() for m in maps] == before
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_fork_counts_anew_what_is_taken() -> None:
    """The child sums up what its shards have: in a process with one thread that is what the parent has counted."""
    assert run_python_ok(FORK, options=("-W", "ignore::DeprecationWarning")).endswith("done\n")
