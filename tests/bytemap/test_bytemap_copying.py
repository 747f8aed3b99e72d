"""Copies, pickles, the operators | and ==, repr; subclasses, weak references, the size that Python is told."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from bytemaps import LONG, AnyMap, outlive, pairs, pass_away
from support import run_python_ok

from shardmap import ByteMap, ConfigError, ShardMap

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
COPIERS: dict[str, Callable[[Any], Any]] = {
    "copy method": lambda m: m.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "or": lambda m: m | {},
    "reversed or": lambda m: {} | m,
    **{f"pickle {protocol}": lambda m, p=protocol: pickle.loads(pickle.dumps(m, p)) for protocol in PROTOCOLS},  # type: ignore[misc]
}


class Sub(ByteMap):
    """As applications derive: attributes, a constructor of its own; in a module, so that it can be pickled."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.label = "made"


class Slotted(ByteMap):
    """Keeps an attribute in a slot."""

    __slots__ = ("slot",)
    slot: object


class Stateful(ByteMap):
    """Says itself what is pickled of it."""

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": "by getstate"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.restored = state


class Careless(ByteMap):
    """Never calls the constructor."""

    def __init__(self) -> None:
        self.label = "made"


# -- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copier", COPIERS)
@pytest.mark.parametrize("count", [0, 1, 1500])
def test_a_copy_is_equal_and_independent(m: AnyMap, copier: str, count: int) -> None:
    m.update(pairs(count))
    m[b"large"] = bytes(50_000)
    made = COPIERS[copier](m)
    assert type(made) is ByteMap
    assert made is not m
    assert made == m == dict(pairs(count)) | {b"large": bytes(50_000)}
    made._check()
    made[b"new"] = b"v"
    assert b"new" not in m
    m.clear()
    assert len(made) == count + 2


@pytest.mark.parametrize("copier", [name for name in COPIERS if name != "reversed or"])
def test_times_to_live_are_copied(m: AnyMap, copier: str) -> None:
    m.set(b"lives", b"v", ttl=LONG)
    m[b"stays"] = b"v"
    m.set(b"persisted", b"v", ttl=LONG)
    m.persist(b"persisted")
    m.set(b"dies", b"v", ttl=LONG)
    pass_away(m, [b"dies"])
    made = COPIERS[copier](m)
    assert LONG - 1000 < made.ttl(b"lives") <= LONG
    assert made.ttl(b"stays") is made.ttl(b"persisted") is None
    assert sorted(made) == [b"lives", b"persisted", b"stays"]
    assert made.stats()["deadlines"] == 1
    pass_away(made, [b"lives"])
    assert b"lives" not in made
    assert b"lives" in m
    made._check()


def test_a_pickled_entry_dies_in_its_time(m: AnyMap) -> None:
    m.set(b"k", b"v", ttl=LONG)
    m.expire(b"k", 0.001)
    pickled = pickle.dumps(m)  # with what is left, or without the entry
    made = pickle.loads(pickled)
    outlive()
    assert b"k" not in made


def test_options_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    m = ByteMap(pairs(10), shards=4, max_memory="1mb", eviction="allkeys-lru", hash_seed=5)
    monkeypatch.setenv("SHARDMAP_SHARDS", "16")
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", "2mb")
    monkeypatch.setenv("SHARDMAP_EVICTION", "volatile-ttl")
    for name, copier in COPIERS.items():
        made = copier(m)
        assert (made._shards, made._limit, made._policy) == (4, 1 << 20, 1), name
        assert made.memory().max_memory == 1 << 20
        assert made == m


def test_a_pickle_in_another_process() -> None:
    """Whose hash seed is another one."""
    m = ByteMap(pairs(300), shards=2)
    m.set(b"lives", b"v", ttl=LONG)
    code = f"""
import pickle
m = pickle.loads({pickle.dumps(m)!r})
m._check()
assert len(m) == 301 and all(m[b"key %d" % n] == b"value %d" % n for n in range(300))
print(m._shards, 0 < m.ttl(b"lives") <= {LONG})
"""
    assert run_python_ok(code) == "2 True\n"


def test_pickles_of_what_is_none() -> None:
    function, (_, options, records), *_ = ByteMap(pairs(2), shards=2).__reduce__()
    for cls in (dict, ShardMap, None, 5, "ByteMap"):
        with pytest.raises(TypeError, match="no ByteMap"):
            function(cls, options, records)
    for bad in ((3, 0, 0), (0, 0, 0), (2, 10, 0)):
        with pytest.raises(ConfigError):
            function(ByteMap, bad, records)
    for worse in ((2, 0, 7), (2, 0, -9), (2, 0), None):
        with pytest.raises((LookupError, ValueError, TypeError)):
            function(ByteMap, worse, records)
    with pytest.raises((TypeError, ValueError)):
        function(ByteMap, options, [("text", b"v", None)])


# -- what a subclass adds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_attributes_of_a_subclass_survive_pickling(protocol: int) -> None:
    """As they do for dict and ShardMap."""
    m: Any = Sub(pairs(3), shards=2)
    m.label = "changed"
    m.more = m
    copies: list[Any] = [pickle.loads(pickle.dumps(m, protocol)), copy.deepcopy(m)]
    for made in copies:
        assert [type(made)] == [Sub]
        assert made == dict(pairs(3))
        assert made.label == "changed"
        assert made.more is made
        del made.more
    del m.more


@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_slots_and_state_of_a_subclass_survive_pickling(protocol: int) -> None:
    slotted, stateful = Slotted({b"k": b"v"}), Stateful({b"k": b"v"})
    slotted.slot = "value"
    for made in (pickle.loads(pickle.dumps(slotted, protocol)), copy.deepcopy(slotted)):
        assert (type(made), made.slot, made == slotted) == (Slotted, "value", True)
    for other in (pickle.loads(pickle.dumps(stateful, protocol)), copy.deepcopy(stateful)):
        assert (other.restored, other == stateful) == ({"kept": "by getstate"}, True)


def test_copies_and_operators_of_a_subclass() -> None:
    m: Any = Sub(pairs(3), shards=2)
    for made in (m.copy(), copy.copy(m), m | {b"k": b"v"}, {b"k": b"v"} | m, Sub.fromkeys([b"k"])):
        assert type(made) is Sub
        made._check()
    assert repr(Sub({b"a": b"b"})) == "Sub({b'a': b'b'})"


def test_pickling_calls_no_constructor() -> None:
    m = Sub()
    del m.label
    assert not hasattr(pickle.loads(pickle.dumps(m)), "label")


def test_a_subclass_that_calls_no_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its maps have the default options, from their first use on."""
    uses: list[Callable[[Any], Any]] = [
        lambda m: m.update(pairs(3)), len, list, repr, lambda m: m.get(b"k"), lambda m: b"k" in m, lambda m: m.memory(),
        lambda m: m.stats(), lambda m: m.snapshot(), lambda m: m == {}, lambda m: m.copy(), pickle.dumps, sys.getsizeof,
        lambda m: m.clear(), lambda m: m.sweep(), lambda m: m.shrink(), lambda m: m.reserve(100), lambda m: m._check(),
        lambda m: m.shard_of(b"k"), lambda m: m.pop(b"k", None), lambda m: m.get_view(b"k"), lambda m: m.count([b"k"]),
        lambda m: m.partitions(2), lambda m: m.expire(b"k", 5), lambda m: m.persist(b"k"), lambda m: m.get_many([b"k"]),
        lambda m: m.delete_many([b"k"]), lambda m: m.retain(bool), lambda m: m.diff({}), lambda m: list(m.items()),
    ]  # fmt: skip
    monkeypatch.setenv("SHARDMAP_SHARDS", "2")
    for use in uses:
        m = Careless()
        use(m)
        m[b"k"] = b"v"
        assert (m[b"k"], m.label, m._shards) == (b"v", "made", 2)
        m._check()
    for use in (lambda m: m.popitem(), lambda m: m[b"k"], lambda m: m.__delitem__(b"k"), lambda m: m.ttl(b"k")):
        with pytest.raises(KeyError):
            use(Careless())
    monkeypatch.setenv("SHARDMAP_EVICTION", "none of these")
    m = Careless()
    with pytest.raises(ConfigError, match="SHARDMAP_EVICTION"):
        m[b"k"] = b"v"
    monkeypatch.delenv("SHARDMAP_EVICTION")
    m[b"k"] = b"v"
    del Careless().label  # and one that is never used dies


def test_options_are_set_once() -> None:
    m: Any = ByteMap({b"k": b"v"})
    with pytest.raises(RuntimeError, match="update"):
        m.__init__({b"l": b"w"})
    assert m == {b"k": b"v"}
    for bad in ({"nothing": 1}, {"mapping_or_pairs": ()}, {"ttl": 5}):
        with pytest.raises(TypeError):
            ByteMap(**bad)


# -- operators --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [dict, OrderedDict, ByteMap, lambda entries: MappingProxyType(dict(entries)), ShardMap]
)
def test_union(m: AnyMap, kind: Callable[[Any], Any]) -> None:
    m.update(pairs(5))
    others = [(b"key 3", b"theirs"), (b"more", b"v")]
    other = kind(others)
    assert m | other == dict(pairs(5)) | dict(others)
    assert type(m | other) is ByteMap
    assert other | m == dict(others) | dict(pairs(5))
    before = m
    m |= other
    assert m is before
    assert m == dict(pairs(5)) | dict(others)
    m |= [(b"pairs", b"too")]
    assert m.pop(b"pairs") == b"too"


def test_union_with_what_is_no_mapping(m: AnyMap) -> None:
    for bad in ([(b"k", b"v")], None, 5, {b"k"}):
        with pytest.raises(TypeError):
            m | bad
        with pytest.raises(TypeError):
            bad | m
    with pytest.raises(TypeError, match="encode"):
        m | {"k": b"v"}
    assert m == {}


def test_equality(m: AnyMap) -> None:
    m.update(pairs(100))
    expected = dict(pairs(100))
    for other in (
        expected,
        ByteMap(expected),
        OrderedDict(expected),
        MappingProxyType(expected),
        ShardMap(expected),
        m,
    ):
        assert m == other
        assert other == m
        assert not m != other
    for unequal in (
        {}, expected | {b"more": b""}, expected | {b"key 5": b"other"}, dict(pairs(99)), ByteMap(pairs(99)),
        dict(pairs(99)) | {"key 99": b"value 99"}, list(expected.items()), None, 5, set(expected), m.keys(),
    ):  # fmt: skip
        assert m != unequal
        assert unequal != m
        assert not m == unequal
    pass_away(m, [b"key 5"])
    del expected[b"key 5"]
    assert m == expected


def test_repr(m: AnyMap) -> None:
    assert repr(m) == "ByteMap({})"
    m[b"k"] = b"v\0"
    assert repr(m) == "ByteMap({b'k': b'v\\x00'})"
    assert eval(repr(m)) == m


# -- the object -------------------------------------------------------------------------------------------------------


def test_weak_references_and_death() -> None:
    died: list[Any] = []
    for cls in (ByteMap, Sub):
        m = cls(pairs(100))
        reference = weakref.ref(m, died.append)
        assert reference() is m
        del m
        assert reference() is None
        assert died.pop() is reference


def test_a_cycle_through_a_subclass_is_collected() -> None:
    m: Any = Sub(pairs(10))
    m.me = m
    reference = weakref.ref(m)
    del m
    gc.collect()
    assert reference() is None


def test_the_collector_has_nothing_to_walk() -> None:
    assert gc.get_referents(ByteMap(pairs(10))) == [ByteMap]


def test_sizeof(m: AnyMap) -> None:
    empty = sys.getsizeof(m)
    assert empty >= m.memory().reserved
    m[b"k"] = bytes(1 << 20)
    assert sys.getsizeof(m) >= empty + (1 << 20)
    m.clear()
    assert sys.getsizeof(m) <= empty + 4096


def test_no_attributes_on_the_class_itself(m: AnyMap) -> None:
    with pytest.raises(AttributeError):
        m.attribute = 1
