"""The mapping suite: what arguments the operations refuse, and that a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from implementations import Implementation

from shardmap import MISSING

NewMap = Callable[..., Any]

#: Operations by feature, each with the numbers of positional arguments that it takes.
ARITIES: list[tuple[str | None, str, range]] = [
    (None, "get", range(1, 3)),
    (None, "setdefault", range(1, 3)),
    (None, "pop", range(1, 3)),
    (None, "popitem", range(1)),
    (None, "clear", range(1)),
    (None, "keys", range(1)),
    (None, "values", range(1)),
    (None, "items", range(1)),
    (None, "update", range(2)),
    ("copying", "copy", range(1)),
    ("conditional", "insert", range(2, 3)),
    ("conditional", "replace", range(2, 3)),
    ("conditional", "swap", range(2, 4)),
    ("conditional", "compare_and_set", range(3, 4)),
    ("conditional", "compare_and_delete", range(2, 3)),
    ("compute", "compute", range(2, 3)),
    ("compute", "compute_if_absent", range(2, 3)),
    ("compute", "compute_if_present", range(2, 3)),
    ("compute", "merge", range(3, 4)),
    ("counting", "add", range(1, 3)),
    ("counting", "count", range(1, 2)),
    ("bulk", "get_many", range(1, 3)),
    ("bulk", "set_many", range(1, 2)),
    ("bulk", "delete_many", range(1, 2)),
    ("bulk", "retain", range(1, 2)),
    ("bulk", "partitions", range(1, 2)),
    ("whole", "snapshot", range(1)),
    ("whole", "diff", range(1, 2)),
    ("whole", "view", range(1)),
    ("whole", "stats", range(1)),
    ("shards", "reserve", range(1, 2)),
    ("shards", "shrink", range(1)),
    ("shards", "shard_of", range(1, 2)),
]


@pytest.mark.parametrize(("feature", "name", "takes"), ARITIES, ids=[name for _, name, _ in ARITIES])
def test_numbers_of_arguments(new: NewMap, impl: Implementation, feature: str | None, name: str, takes: range) -> None:
    if feature is not None and feature not in impl.features:
        return
    m = new(impl.pairs(3))
    for count in {*range(takes.start), takes.stop, takes.stop + 1, 12}:
        arguments = [impl.key(number) for number in range(count)]
        with pytest.raises(TypeError):
            getattr(m, name)(*arguments)
    assert dict(m.items()) == dict(impl.pairs(3))


@pytest.mark.needs("conditional")
def test_arguments_are_positional(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    for call in (
        lambda: m.get(key=impl.key(0)),
        lambda: m.get(impl.key(0), default=1),
        lambda: m.insert(key=impl.key(0), value=1),
        lambda: m.add(impl.key(0), delta=1),
        lambda: m.compute(impl.key(0), fn=len),
        lambda: m.get_many(keys=[]),
        lambda: m.snapshot(deep=True),
    ):
        with pytest.raises(TypeError):
            call()
    assert dict(m.items()) == dict(impl.pairs(1))


BY_KEY: list[tuple[str | None, str, Callable[[Any, Any], Any]]] = [
    (None, "[]", lambda m, key: m[key]),
    (None, "in", lambda m, key: key in m),
    (None, "[]=", lambda m, key: m.__setitem__(key, 1)),
    (None, "del", lambda m, key: m.__delitem__(key)),
    (None, "get", lambda m, key: m.get(key)),
    (None, "setdefault", lambda m, key: m.setdefault(key, 1)),
    (None, "pop", lambda m, key: m.pop(key)),
    (None, "pop with default", lambda m, key: m.pop(key, None)),
    (None, "update", lambda m, key: m.update([(key, 1)])),
    (None, "in keys()", lambda m, key: key in m.keys()),  # noqa: SIM118
    (None, "in items()", lambda m, key: (key, 1) in m.items()),
    ("conditional", "insert", lambda m, key: m.insert(key, 1)),
    ("conditional", "replace", lambda m, key: m.replace(key, 1)),
    ("conditional", "swap", lambda m, key: m.swap(key, 1)),
    ("conditional", "compare_and_set", lambda m, key: m.compare_and_set(key, 1, 2)),
    ("conditional", "compare_and_delete", lambda m, key: m.compare_and_delete(key, 1)),
    ("compute", "compute", lambda m, key: m.compute(key, lambda old: 1)),
    ("compute", "compute_if_absent", lambda m, key: m.compute_if_absent(key, lambda key: 1)),
    ("compute", "compute_if_present", lambda m, key: m.compute_if_present(key, lambda old: 1)),
    ("compute", "merge", lambda m, key: m.merge(key, 1, lambda old, new: 1)),
    ("counting", "add", lambda m, key: m.add(key)),
    ("counting", "count", lambda m, key: m.count([key])),
    ("bulk", "get_many", lambda m, key: m.get_many([key])),
    ("bulk", "set_many", lambda m, key: m.set_many([(key, 1)])),
    ("bulk", "set_many of one", lambda m, key: m.set_many(iter([(key, 1)]))),
    ("bulk", "delete_many", lambda m, key: m.delete_many([key])),
    ("shards", "shard_of", lambda m, key: m.shard_of(key)),
]


@pytest.mark.needs("objects")
@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
@pytest.mark.parametrize(("feature", "name", "operation"), BY_KEY, ids=[name for _, name, _ in BY_KEY])
def test_unhashable_keys(
    new: NewMap,
    impl: Implementation,
    feature: str | None,
    name: str,
    operation: Callable[[Any, Any], Any],
    filled: bool,
) -> None:
    if feature is not None and feature not in impl.features:
        return
    if (impl.name, name, filled) in {("dict", "pop with default", False), ("dict", "pop", False)}:
        return  # dict does not look at the key when it is empty
    m = new(impl.pairs(5) if filled else [])
    before = dict(m.items())
    unhashable: list[Any] = [[], {}, {1}, bytearray(b"x"), ([],)]
    for key in unhashable:
        with pytest.raises(TypeError, match="unhashable"):
            operation(m, key)
    assert dict(m.items()) == before


@pytest.mark.needs("missing")
def test_missing_is_never_stored(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(1))
    present, absent = impl.key(0), impl.key(1)
    for key in (present, absent):
        for store in (
            lambda: m.__setitem__(key, MISSING),
            lambda: m.setdefault(key, MISSING),
            lambda: m.insert(key, MISSING),
            lambda: m.replace(key, MISSING),
            lambda: m.swap(key, MISSING),
            lambda: m.compare_and_set(key, impl.value(0), MISSING),
            lambda: m.merge(key, MISSING, lambda old, new: new),
            lambda: m.update([(key, MISSING)]),
            lambda: m.update({key: MISSING}),
            lambda: m.set_many([(key, MISSING)]),
            lambda: m.set_many({key: MISSING}),
        ):
            with pytest.raises(ValueError, match="MISSING"):
                store()
            assert dict(m.items()) == dict(impl.pairs(1))
    with pytest.raises(ValueError, match="MISSING"):
        m.update(new=MISSING)
    with pytest.raises(ValueError, match="MISSING"):
        impl.make([(absent, MISSING)])
    with pytest.raises(ValueError, match="MISSING"):
        m.add(absent, MISSING)
    assert dict(m.items()) == dict(impl.pairs(1))


@pytest.mark.needs("missing")
def test_missing_as_a_key_a_default_and_an_expectation(new: NewMap, impl: Implementation) -> None:
    """As anything but a value it is an object like others."""
    m = new(impl.pairs(1))
    assert m.get(impl.key(1), MISSING) is MISSING
    assert m.pop(impl.key(1), MISSING) is MISSING
    assert m.get_many([impl.key(1)], MISSING) == [MISSING]
    assert m.compare_and_set(impl.key(1), MISSING, impl.value(1)) is False
    assert m.compare_and_delete(impl.key(1), MISSING) is False
    assert m.compare_and_delete(impl.key(0), MISSING) is False
    assert m.swap(impl.key(1), impl.value(1), MISSING) is MISSING
    m[MISSING] = impl.value(2)
    assert m[MISSING] == impl.value(2)


@pytest.mark.needs("objects")
def test_none_is_a_value_and_a_key(new: NewMap, impl: Implementation) -> None:
    m = new()
    m[impl.key(0)] = None
    m[None] = impl.value(1)
    assert impl.key(0) in m
    assert m[impl.key(0)] is None
    assert m.get(impl.key(0), 5) is None
    assert m.setdefault(impl.key(0), 5) is None
    assert m[None] == impl.value(1)
    assert m.setdefault(impl.key(1)) is None
    assert impl.key(1) in m
    assert m.pop(impl.key(0), 5) is None
    assert impl.key(0) not in m
    if "compute" not in impl.features:
        return
    m[impl.key(0)] = None
    assert m.insert(impl.key(0), 5) is False
    assert m.replace(impl.key(0), None) is True
    assert m.swap(impl.key(0), None, 5) is None
    assert m.compare_and_set(impl.key(0), None, None) is True
    assert m.compute(impl.key(0), lambda old: old) is None
    assert m.compute_if_absent(impl.key(0), lambda key: 5) is None
    assert m.compute_if_absent(impl.key(5), lambda key: None) is None
    assert impl.key(5) in m
    assert m.compute_if_present(impl.key(0), lambda old: old) is None
    assert m.merge(impl.key(6), None, lambda old, new: 5) is None
    assert m.merge(impl.key(6), 1, lambda old, new: (old, new)) == (None, 1)
    assert m.get_many([impl.key(0), impl.key(7)], 5) == [None, 5]
    assert m.compare_and_delete(impl.key(0), None) is True


@pytest.mark.needs("objects")
def test_values_are_kept_by_identity(new: NewMap, impl: Implementation) -> None:
    m = new()
    values = [object(), [], {}, 1.5, float("nan"), 10**40, "text", b"bytes", (), type, len, ...]
    for number, value in enumerate(values):
        m[impl.key(number)] = value
    for number, value in enumerate(values):
        assert m[impl.key(number)] is value
        assert m.get(impl.key(number)) is value
        assert m.pop(impl.key(number)) is value


@pytest.mark.needs("objects")
def test_keys_that_are_equal_across_types(new: NewMap, impl: Implementation) -> None:
    m = new()
    m[1] = "int"
    m[1.0] = "float"
    m[True] = "bool"
    assert len(m) == 1
    assert m[1] == m[1.0] == m[True] == m[complex(1)] == "bool"
    (key,) = m
    assert type(key) is int
    m["1"] = "str"
    m[b"1"] = "bytes"
    assert (m["1"], m[b"1"], len(m)) == ("str", "bytes", 3)
    m[0.0] = "zero"
    assert m[-0.0] == m[0] == m[False] == "zero"
    m[2**61 - 1] = "hashes to 0"
    assert (m[0], m[2**61 - 1]) == ("zero", "hashes to 0")
    m[-1] = "minus one"
    m[-2] = "minus two"
    assert hash(-1) == hash(-2)
    assert (m[-1], m[-2]) == ("minus one", "minus two")
    assert m.pop(1.0) == "bool"
    assert True not in m


@pytest.mark.needs("objects")
def test_nan_keys_are_found_by_identity(new: NewMap) -> None:
    m = new()
    one, other = float("nan"), float("nan")
    m[one] = 1
    m[other] = 2
    assert len(m) == 2
    assert (m[one], m[other]) == (1, 2)
    assert float("nan") not in m
    m[(one,)] = 3
    assert m[(one,)] == 3
    del m[one]
    assert one not in m
    assert m[other] == 2
