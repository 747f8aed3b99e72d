"""The mapping suite: copy(), the copy module, pickling."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from implementations import Implementation, SlottedDict, SlottedMap, StatefulDict, StatefulMap, SubMap

pytestmark = pytest.mark.needs("copying")
NewMap = Callable[..., Any]

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)

COPIERS: dict[str, Callable[[Any], Any]] = {
    "copy method": lambda m: m.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": lambda m, p=protocol: pickle.loads(pickle.dumps(m, p)) for protocol in PROTOCOLS},  # type: ignore[misc]
}


class Plain:
    """A picklable object without ``__eq__``: a copy is told from the original by identity."""

    def __init__(self, label: int) -> None:
        self.label = label


@pytest.mark.parametrize("copier", COPIERS)
@pytest.mark.parametrize("count", [0, 1, 1500])
def test_a_copy_is_equal_and_independent(new: NewMap, impl: Implementation, copier: str, count: int) -> None:
    m = new(impl.pairs(count))
    made = COPIERS[copier](m)
    assert type(made) is type(m)
    assert made is not m
    assert dict(made.items()) == dict(impl.pairs(count))
    for key in list(m):
        assert made[key] == m[key]
    made[impl.key(count)] = impl.value(0)
    assert impl.key(count) not in m
    m[impl.key(count + 1)] = impl.value(1)
    assert impl.key(count + 1) not in made
    m.clear()
    assert len(made) == count + 1
    if hasattr(made, "_check"):
        made._check()


@pytest.mark.needs("objects")
def test_shallow_copies_share_deep_ones_do_not(new: NewMap) -> None:
    value = Plain(1)
    m = new([(1, value)])
    assert m.copy()[1] is value
    assert copy.copy(m)[1] is value
    deep = copy.deepcopy(m)[1]
    assert deep is not value
    assert deep.label == 1


@pytest.mark.needs("objects")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickled_cycles(new: NewMap, protocol: int) -> None:
    m = new()
    m["me"] = m
    m["list"] = [m]
    made = pickle.loads(pickle.dumps(m, protocol))
    assert made["me"] is made
    assert made["list"][0] is made
    assert len(made) == 2
    for each in (m, made):
        each.clear()


@pytest.mark.needs("objects")
def test_deepcopied_cycles(new: NewMap) -> None:
    m = new()
    m["me"] = m
    made = copy.deepcopy(m)
    assert made is not m
    assert made["me"] is made
    shallow = copy.copy(m)
    assert shallow["me"] is m
    for each in (m, made, shallow):
        each.clear()


@pytest.mark.needs("objects")
def test_deepcopy_copies_keys_and_shares_within(new: NewMap) -> None:
    shared = [1]
    m = new([("a", shared), ("b", shared), ((1, "tuple"), 2)])
    made = copy.deepcopy(m)
    assert made["a"] is made["b"]
    assert made["a"] is not shared
    assert made[(1, "tuple")] == 2


@pytest.mark.needs("objects", "missing")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_options_survive(impl: Implementation, protocol: int) -> None:
    m = type(impl.make())(impl.pairs(10), shards=4, hash_seed=5)
    made = pickle.loads(pickle.dumps(m, protocol))
    assert made.stats()["shards"] == 4
    assert made == m
    for duplicate in (m.copy(), copy.copy(m)):
        assert duplicate.stats()["shards"] == 4
        assert [duplicate.shard_of(key) for key in m] == [m.shard_of(key) for key in m]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_attributes_of_a_subclass_survive_pickling(protocol: int) -> None:
    m: Any = SubMap([("a", 1)], shards=2)
    m.label = "changed"
    m.more = m
    made = pickle.loads(pickle.dumps(m, protocol))
    assert [type(made)] == [SubMap]
    assert made.label == "changed"
    assert made.more is made
    assert made == {"a": 1}
    deep = copy.deepcopy(m)
    assert deep.label == "changed"
    assert deep.more is deep
    for each in (m, made, deep):
        del each.more


@pytest.mark.parametrize("cls", [SlottedDict, SlottedMap])
@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_state_in_slots_survives_pickling(cls: Any, protocol: int) -> None:
    m = cls({1: 2})
    m.slot = "value"
    for made in (pickle.loads(pickle.dumps(m, protocol)), copy.deepcopy(m)):
        assert [type(made)] == [cls]
        assert made == {1: 2}
        assert made.slot == "value"


@pytest.mark.parametrize("cls", [StatefulDict, StatefulMap])
@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_state_is_what_the_subclass_says(cls: Any, protocol: int) -> None:
    m = cls({1: 2})
    for made in (pickle.loads(pickle.dumps(m, protocol)), copy.deepcopy(m)):
        assert made == {1: 2}
        assert made.restored == {"kept": "by getstate"}


def test_pickling_calls_init_of_no_subclass() -> None:
    """As for dict: the entries and the attributes come back, the constructor is not called."""
    m = SubMap()
    del m.label
    assert not hasattr(pickle.loads(pickle.dumps(m)), "label")


def test_what_cannot_be_pickled(new: NewMap) -> None:
    m = new([(1, lambda: None)])
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(m)
    assert len(m) == 1


@pytest.mark.needs("missing")
def test_iterators_are_neither_copied_nor_pickled(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    for iterator in (iter(m), iter(m.values()), iter(m.items()), m.partitions(2)[0]):
        for copier in ("copy.copy", "copy.deepcopy", "pickle 2", "pickle 5"):
            with pytest.raises(TypeError):
                COPIERS[copier](iterator)
    assert len(list(iter(m))) == 3


@pytest.mark.needs("missing")
def test_views_are_copied_with_their_map(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(5))
    made = pickle.loads(pickle.dumps(m.keys()))
    assert set(made) == set(m)
    assert made.mapping is not m
