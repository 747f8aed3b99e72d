"""The mapping suite: what the map is to the rest of Python: abstract classes, match, json, subclasses, weakref."""

from __future__ import annotations

import collections
import contextlib
import json
import types
import weakref
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Mapping, MutableMapping, Sized
from typing import Any, get_args, get_origin

import pytest
from implementations import Implementation

from shardmap import ShardMap

NewMap = Callable[..., Any]


def test_abstract_classes(new: NewMap) -> None:
    m = new()
    for kind in (MutableMapping, Mapping, Collection, Sized, Iterable, Container):
        assert isinstance(m, kind)
        assert issubclass(type(m), kind)
    assert not isinstance(m, Hashable)


def test_the_whole_surface_of_dict_but_order(new: NewMap) -> None:
    operators = {"__or__", "__ror__", "__ior__", "__eq__", "__ne__", "__contains__", "__len__", "__iter__"}
    of_dict = {name for name in dir(dict) if not name.startswith("_")} | operators
    assert of_dict <= set(dir(new()))


def test_conversion(new: NewMap, impl: Implementation) -> None:
    pairs = impl.pairs(30)
    m = new(pairs)
    assert dict(m) == dict(pairs)
    assert {**m} == dict(pairs)
    assert [*m] == list(m)
    assert collections.ChainMap({}, m)[impl.key(3)] == impl.value(3)
    assert collections.OrderedDict(m) == dict(pairs)
    other: dict[Any, Any] = {}
    other.update(m)
    assert other == dict(pairs)


@pytest.mark.needs("objects")
def test_as_keyword_arguments_and_json(new: NewMap) -> None:
    m = new([("a", 1), ("b", [2, None])])
    assert dict(**m) == {"a": 1, "b": [2, None]}
    assert json.loads(json.dumps(dict(m))) == {"a": 1, "b": [2, None]}
    assert "{a} {b}".format_map(m) == "1 [2, None]"
    assert "%(a)s" % m == "1"
    assert "text".translate(new([(ord("t"), "T")])) == "TexT"


@pytest.mark.needs("objects")
def test_match_statement(new: NewMap) -> None:
    def kind(subject: object) -> Any:
        match subject:
            case {"op": "add", "args": [a, b], **rest}:
                return a + b, rest
            case {"op": str(name)}:
                return name
            case {}:
                return "mapping"
            case _:
                return "other"

    assert kind(new([("op", "add"), ("args", [1, 2]), ("more", 3)])) == (3, {"more": 3})
    assert kind(new([("op", "sub")])) == "sub"
    assert kind(new([("op", 1)])) == "mapping"
    assert kind(new()) == "mapping"
    assert kind([new()]) == "other"


@pytest.mark.needs("objects")
def test_as_globals_of_exec_and_class_namespace(new: NewMap) -> None:
    m = new([("a", 2)])
    exec("b = a + 1", {}, m)
    assert m["b"] == 3


def test_generic_alias() -> None:
    alias: Any = ShardMap[str, int]
    assert get_origin(alias) is ShardMap
    assert get_args(alias) == (str, int)
    assert "ShardMap[str, int]" in repr(alias)
    m = alias([("a", 1)], shards=2)
    assert type(m) is ShardMap
    assert m == {"a": 1}

    class Derived(ShardMap[str, int]):
        pass

    assert Derived(shards=1) == {}


@pytest.mark.needs("weak")
def test_weak_references(impl: Implementation) -> None:
    m = impl.make(impl.pairs(3))
    reference = weakref.ref(m)
    assert reference() is m
    fired: list[int] = []
    weakref.finalize(m, fired.append, 1)
    proxy: Any = weakref.proxy(m)
    assert proxy[impl.key(1)] == impl.value(1)
    del m
    assert reference() is None
    assert fired == [1]
    with pytest.raises(ReferenceError):
        len(proxy)


@pytest.mark.needs("weak")
def test_in_weak_containers(impl: Implementation) -> None:
    values: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
    values[1] = m = impl.make()
    assert values[1] is m
    del m
    assert 1 not in values


def test_instances_take_no_attributes() -> None:
    m: ShardMap[str, int] = ShardMap()
    with pytest.raises(AttributeError):
        m.extra = 1  # type: ignore[attr-defined]
    with pytest.raises((AttributeError, TypeError)):
        m.get = None  # type: ignore[assignment,method-assign]


# -- subclasses -------------------------------------------------------------------------------------------------------


@pytest.mark.needs("subclass")
def test_missing_hook(impl: Implementation) -> None:
    base = type(impl.make())

    class Default(base):  # type: ignore[misc,valid-type]
        def __missing__(self, key: Any) -> Any:
            asked.append(key)
            return "made up"

    asked: list[Any] = []
    m = Default(impl.pairs(1))
    assert m[impl.key(0)] == impl.value(0)
    assert asked == []
    key = impl.key(1)
    assert m[key] == "made up"
    assert asked[0] is key
    assert m.get(impl.key(1)) is None
    assert impl.key(1) not in m
    assert impl.key(1) not in m.keys()  # noqa: SIM118
    assert (impl.key(1), "made up") not in m.items()
    with pytest.raises(KeyError):
        m.pop(impl.key(1))
    with pytest.raises(KeyError):
        del m[impl.key(1)]
    assert asked == [impl.key(1)]
    assert len(m) == 1


@pytest.mark.needs("subclass")
def test_missing_hook_that_stores_or_raises(impl: Implementation) -> None:
    base = type(impl.make())

    class Cache(base):  # type: ignore[misc,valid-type]
        def __missing__(self, key: Any) -> Any:
            if key == impl.key(9):
                raise ZeroDivisionError
            self[key] = impl.value(5)
            return self[key]

    m = Cache()
    assert m[impl.key(1)] == impl.value(5)
    assert impl.key(1) in m
    with pytest.raises(ZeroDivisionError):
        m[impl.key(9)]
    assert len(m) == 1


@pytest.mark.needs("subclass")
def test_missing_hook_is_looked_up_on_the_type(impl: Implementation) -> None:
    class Sub(type(impl.make())):  # type: ignore[misc]
        pass

    m = Sub()
    m.__missing__ = lambda key: "from the instance"
    with pytest.raises(KeyError):
        m[impl.key(0)]
    Sub.__missing__ = lambda self, key: "from the type"
    assert m[impl.key(0)] == "from the type"
    del Sub.__missing__
    with pytest.raises(KeyError):
        m[impl.key(0)]


@pytest.mark.needs("subclass")
def test_missing_hook_of_other_kinds(impl: Implementation) -> None:
    """It is bound as Python binds any special method."""
    base = type(impl.make())

    class Static(base):  # type: ignore[misc,valid-type]
        __missing__ = staticmethod(lambda key: ("static", key))

    class Class(base):  # type: ignore[misc,valid-type]
        @classmethod
        def __missing__(cls, key: Any) -> Any:
            return cls, key

    assert Static()[impl.key(1)] == ("static", impl.key(1))
    assert Class()[impl.key(1)] == (Class, impl.key(1))


@pytest.mark.needs("subclass")
def test_own_init_that_never_calls_ours(impl: Implementation) -> None:
    """As with dict, the object is a usable empty map as soon as it exists."""

    class Sloppy(type(impl.make())):  # type: ignore[misc]
        def __init__(self, label: str, *, other: int = 0) -> None:
            self.label = label

    m = Sloppy("x", other=1)
    assert len(m) == 0
    assert list(m) == []
    assert impl.key(0) not in m
    assert m == {}
    m.clear()
    m[impl.key(0)] = impl.value(0)
    m.update(impl.pairs(50))
    assert len(m) == 50
    assert m[impl.key(49)] == impl.value(49)
    copied = m.copy()
    assert dict(copied.items()) == dict(impl.pairs(50))
    if hasattr(m, "_check"):
        m._check()
        assert m.stats()["entries"] == 50
        assert type(copied) is Sloppy


@pytest.mark.needs("subclass", "whole")
@pytest.mark.parametrize(
    "first",
    [len, list, dict, repr, lambda m: m.stats(), lambda m: m.snapshot(), lambda m: m.copy(), lambda m: m.popitem(),
     lambda m: m.get(1), lambda m: m.shard_of(1), lambda m: m.reserve(10), lambda m: m.shrink(), lambda m: m.clear(),
     lambda m: m.count([1]), lambda m: m.compute(1, lambda old: 1), lambda m: m.partitions(2), lambda m: m._check(),
     lambda m: m.insert(1, 1), lambda m: m.update({1: 1}), lambda m: m == {}, lambda m: m.retain(bool),
     lambda m: m.__sizeof__(), lambda m: m.delete_many([1]), lambda m: m.get_many([1])],
)  # fmt: skip
def test_any_operation_may_come_first(impl: Implementation, first: Callable[[Any], Any]) -> None:
    """Without __init__ nothing was configured: whatever comes first finds the defaults, or says KeyError."""
    cls: Any = type(impl.make())
    m = cls.__new__(cls)
    try:
        first(m)
    except KeyError:
        assert len(m) == 0
    m._check()
    m[impl.key(3)] = impl.value(3)
    assert m[impl.key(3)] == impl.value(3)


@pytest.mark.needs("subclass")
def test_overridden_methods_are_not_bypassed_by_python_code(impl: Implementation) -> None:
    """The constructor goes through update, which a subclass may extend; items set one by one go to its __setitem__."""
    base = type(impl.make())

    class Upper(base):  # type: ignore[misc,valid-type]
        def __getitem__(self, key: Any) -> Any:
            return ("seen", super().__getitem__(key))

    m = Upper(impl.pairs(1))
    assert m[impl.key(0)] == ("seen", impl.value(0))
    assert m.get(impl.key(0)) == impl.value(0)


@pytest.mark.needs("subclass", "whole")
def test_multiple_inheritance(impl: Implementation) -> None:
    class Mixin:
        def total(self) -> int:
            return sum(self.values())  # type: ignore[attr-defined]

    class Both(Mixin, ShardMap[str, int]):
        pass

    assert Both({"a": 1, "b": 2}).total() == 3


def test_calling_init_again(impl: Implementation) -> None:
    """dict keeps what it has and adds; a map may refuse instead, but loses nothing."""
    m = impl.make(impl.pairs(20))
    with contextlib.suppress(RuntimeError, TypeError, ValueError):
        m.__init__([(impl.key(20), impl.value(20))])
    assert dict(impl.pairs(20)).items() <= dict(m.items()).items()
    if hasattr(m, "_check"):
        m._check()


@pytest.mark.needs("whole")
def test_read_only_view(new: NewMap, impl: Implementation) -> None:
    m = new(impl.pairs(3))
    view: Any = m.view()
    assert [type(view)] == [types.MappingProxyType]
    assert issubclass(type(view), Mapping)
    assert view[impl.key(1)] == impl.value(1)
    assert dict(view) == dict(impl.pairs(3))
    assert view == m
    m[impl.key(3)] = impl.value(3)
    assert len(view) == 4
    for change in (
        lambda: view.__setitem__(impl.key(0), 1),
        lambda: view.__delitem__(impl.key(0)),
        lambda: view.clear(),
        lambda: view.insert(impl.key(9), 1),
    ):
        with pytest.raises(AttributeError):
            change()
    with pytest.raises(TypeError):
        view[impl.key(0)] = 1
    assert len(m) == 4
