"""Keys whose ``__hash__`` and ``__eq__`` raise, lie, collide, wait, or change the map in the middle of an operation."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from concurrency import VARIANTS, join_all, wait_until
from hostile import Key, Trouble
from reference import OPERATIONS, Operation, outcome, outcome_of_plain

from shardmap import ShardMap

# The tests misuse the map on purpose, so they ask for no types; `typing/` has samples that do.
AnyMap: TypeAlias = Any
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
HANG = 60


class UnhappyError(Exception):
    """What hostile keys raise."""


def fail() -> None:
    raise UnhappyError


# -- raising ----------------------------------------------------------------------------------------------------------


@every_operation
def test_hash_that_raises(m: AnyMap, operation: Operation) -> None:
    m.update((Key(number, number), 10) for number in range(5))
    for label in (2, 9):
        with pytest.raises(UnhappyError):
            operation(m, Trouble(label, label, on_hash=fail))
        m._check()
    assert {key.label: value for key, value in m.items()} == dict.fromkeys(range(5), 10)


@pytest.mark.parametrize("bad_hash", [None, "text", 1.5, 2**70])
def test_hash_that_is_no_hash(m: AnyMap, bad_hash: Any) -> None:
    class Odd:
        def __hash__(self) -> Any:
            return bad_hash

    if bad_hash == 2**70:  # Python folds it
        key = Odd()
        m[key] = 1
        assert m[key] == 1
        return
    for operation in OPERATIONS.values():
        with pytest.raises(TypeError):
            operation(m, Odd())
    assert len(m) == 0


@every_operation
@pytest.mark.parametrize("error", [UnhappyError, KeyError, StopIteration, KeyboardInterrupt, SystemExit])
def test_eq_that_raises(m: AnyMap, operation: Operation, error: type[BaseException]) -> None:
    """Colliding keys around it are found as before; whichever of the two keys raises."""

    def raise_it() -> None:
        raise error("from __eq__")

    stored = [Trouble(number) for number in range(4)]
    m.update((key, 10) for key in stored)
    before = dict.fromkeys(range(4), 10)
    for place, culprit in enumerate(stored):
        culprit.on_eq, culprit.times = raise_it, 1
        with pytest.raises(error, match="from __eq__"):
            operation(m, Key("absent"))
        assert culprit.times == 0, f"the key in place {place} was not asked"
        m._check()
    probe = Trouble(2, on_eq=raise_it)
    with pytest.raises(error, match="from __eq__"):
        operation(m, probe)
    assert {key.label: value for key, value in m.items()} == before
    assert m.stats()["reserved"] == 0
    for number in range(4):
        assert m[Key(number)] == 10


def test_eq_whose_result_is_no_bool(m: AnyMap) -> None:
    class Vague:
        def __init__(self, answer: Any) -> None:
            self.answer = answer

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> Any:
            return self.answer

    class NoTruth:
        def __bool__(self) -> bool:
            raise UnhappyError

    m[Vague([1])] = "truthy"
    assert m[Vague(None)] == "truthy"
    m.clear()
    m[Vague(NoTruth())] = 1
    with pytest.raises(UnhappyError):
        m[Vague(True)]
    m.clear()
    m[Vague(NotImplemented)] = 1
    assert Vague(NotImplemented) not in m
    assert Vague(True) in m


# -- lying ------------------------------------------------------------------------------------------------------------


def test_a_hash_that_changes(m: AnyMap) -> None:
    """The key is then not found, as in a dict; it stays countable and removable, and disturbs no other key."""
    keys = [Key(number, number) for number in range(50)]
    m.update((key, key.label) for key in keys)
    for key in keys[::2]:
        key.chosen_hash = key.chosen_hash + 1000
    for key in keys[1::2]:
        assert m[key] == key.label
    missing = [key for key in keys[::2] if key not in m]
    assert len(missing) >= 20  # those whose bucket and tag happen to agree may still be found
    m.update((Key(number, number), 0) for number in range(100, 1000))  # growth goes by the stored hashes
    m._check()
    assert len(m) == 950
    assert sum(1 for key in m if key.label < 100) == 50
    assert m.retain(lambda key, value: value == 0) >= 25
    for key in keys[::2]:
        key.chosen_hash = int(str(key.label))
    for key in keys[::2]:
        m.pop(key, None)
    m._check()


def test_a_hash_that_is_random(m: AnyMap) -> None:
    rng = random.Random(3)

    class Fickle:
        def __hash__(self) -> int:
            return rng.randrange(4)

        def __eq__(self, other: object) -> bool:
            return rng.random() < 0.5

    names = list(OPERATIONS)
    for step in range(3000):
        m[Fickle()] = 10
        attempt(OPERATIONS[names[step % len(names)]], m, Fickle())
        if step % 100 == 0:
            m._check()
    len_before = len(m)
    assert len(list(m)) == len_before
    m.copy()._check()
    m.clear()
    assert len(m) == 0


def attempt(operation: Operation, m: AnyMap, key: Any) -> None:
    """The operation, whose result is of no interest: absent keys, and sums of what cannot be added, are all right."""
    try:
        operation(m, key)
    except (KeyError, TypeError):
        pass


def test_eq_that_says_yes_to_everything(m: AnyMap) -> None:
    class Yes:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return True

    m[Yes()] = 1
    m[Yes()] = 2
    m[Key("other", 7)] = 3
    assert len(m) == 1
    assert m[Yes()] == m[Key("any", 7)] == 3
    del m[Yes()]
    assert len(m) == 0


def test_eq_that_says_no_even_to_itself(m: AnyMap) -> None:
    class No:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return False

    keys = [No() for _ in range(30)]
    m.update((key, number) for number, key in enumerate(keys))
    assert len(m) == 30
    assert [m[key] for key in keys] == list(range(30))
    assert No() not in m
    assert m.delete_many(keys) == 30


# -- types that only look simple --------------------------------------------------------------------------------------


class Caseless(str):
    """A str subclass with its own idea of equality: no shortcut for str may be taken."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.lower())


class Modulo(int):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and int(self) % 10 == int(other) % 10

    def __hash__(self) -> int:
        return int(self) % 10


class Prefix(bytes):
    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and self[:1] == bytes(other)[:1]

    def __hash__(self) -> int:
        return hash(bytes(self[:1]))


class PlainStr(str):
    """A str subclass that changes nothing."""

    __slots__ = ()


def test_str_subclasses(m: AnyMap) -> None:
    control: dict[Any, Any] = {}
    for each in (m, control):
        each[Caseless("Abc")] = 1
        each[Caseless("ABC")] = 2
        each["abc"] = 3
        each[PlainStr("abc")] = 4
        each["xyz"] = 5
        each[PlainStr("xyz")] = 6
        each[Caseless("XYZ")] = 7
    assert dict(m.items()) == control
    assert len(m) == len(control) == 2
    assert m["abc"] == m[Caseless("aBC")] == 4
    assert ("ABC" in m) == ("ABC" in control)
    assert m["xyz"] == 7
    m.count([Caseless("Q"), Caseless("q"), "q", PlainStr("q")])
    assert m["q"] == 4


def test_int_and_bytes_subclasses(m: AnyMap) -> None:
    control: dict[Any, Any] = {}
    for each in (m, control):
        each[Modulo(13)] = 1
        each[3] = 2
        each[Modulo(23)] = 3
        each[Prefix(b"abc")] = 4
        each[Prefix(b"axy")] = 5
        each[b"a"] = 6
    assert dict(m.items()) == control
    assert len(m) == 2
    assert m[Modulo(33)] == m[3] == 3
    assert m[Prefix(b"a???")] == m[b"a"] == 6


@pytest.mark.parametrize(
    "keys",
    [
        [1, 1.0, True, complex(1), 1 + 0j],
        [0, 0.0, -0.0, False],
        [2**53, float(2**53), 2**53 + 1],
        [10**20, 1e20, 10**20 + 1],
        [-1, -2, -1.0, -2.0],
        [2**61 - 1, 0, 2 * (2**61 - 1), 2**61, 1],
        [float("inf"), 314159, float("-inf"), -314159],
        ["a", b"a", PlainStr("a"), ("a",), frozenset("a")],
        ["", b"", 0, (), None, False],
        ["é", "e\u0301", "\xe9", "\U0001f600", "\ud800"],
        ["x" * 1000, "x" * 999 + "y", "x" * 1000 + "y", PlainStr("x" * 1000)],
        [b"x" * 1000, b"x" * 999 + b"y", bytes(bytearray(b"x" * 1000))],
        [1 << 100, (1 << 100) + 1, -(1 << 100), float(1 << 100)],
    ],
    ids=str,
)
def test_equality_across_types_is_that_of_dict(m: AnyMap, keys: list[Any]) -> None:
    for order in itertools.permutations(range(len(keys)), 2):
        control: dict[Any, Any] = {}
        m.clear()
        for number in order:
            control[keys[number]] = m[keys[number]] = number
        for key in keys:
            assert m.get(key, "absent") == control.get(key, "absent")
        assert [type(key) for key in m].count(type(next(iter(control)))) >= 1
        assert len(m) == len(control)
    m.clear()
    m.count(keys * 3)
    control_counts: dict[Any, int] = {}
    for key in keys * 3:
        control_counts[key] = control_counts.get(key, 0) + 1
    assert m == control_counts


# -- changing the map in the middle of an operation -------------------------------------------------------------------


#: Enough for several growths of one shard.
MORE = 80


def grow(m: AnyMap) -> None:
    for number in range(MORE):
        m[Key(("more", number), number)] = 0


def churn(m: AnyMap) -> None:
    for number in range(MORE):
        m[Key(("gone", number), number % 3)] = 0
        del m[Key(("gone", number), number % 3)]


#: What the hostile key does to the map, and what that does to the entries by label.
CHANGES: dict[str, tuple[Callable[[AnyMap], Any], Callable[[dict[Any, Any]], Any]]] = {
    "nothing": (lambda m: None, lambda d: None),
    "clear": (lambda m: m.clear(), lambda d: d.clear()),
    "delete the key": (lambda m: m.pop(Key("k"), None), lambda d: d.pop("k", None)),
    "set the key": (lambda m: m.__setitem__(Key("k"), 33), lambda d: d.__setitem__("k", 33)),
    "set it to what it was": (lambda m: m.__setitem__(Key("k"), 10), lambda d: d.__setitem__("k", 10)),
    "delete and set": (
        lambda m: (m.pop(Key("k"), None), m.__setitem__(Key("k"), 34)),
        lambda d: d.__setitem__("k", 34),
    ),
    "delete a neighbour": (lambda m: m.pop(Key("n1"), None), lambda d: d.pop("n1", None)),
    "delete all neighbours": (
        lambda m: m.retain(lambda key, value: key.label == "k"),
        lambda d: [d.pop(key) for key in list(d) if key != "k"],
    ),
    "grow": (grow, lambda d: d.update({("more", number): 0 for number in range(MORE)})),
    "churn": (churn, lambda d: None),
    "shrink": (lambda m: m.shrink(), lambda d: None),
    "reserve": (lambda m: m.reserve(2000), lambda d: None),
    # A move that is going on is finished, and nothing else happens.
    "finish growing": (lambda m: m.reserve(1), lambda d: None),
    "pop an item and put it back": (lambda m: [m.update([m.popitem()]) for _ in range(len(m))], lambda d: None),
    "compute the key": (lambda m: m.compute(Key("k"), lambda old: 35), lambda d: d.__setitem__("k", 35)),
    "read": (lambda m: (m.get(Key("k")), m.snapshot(), list(m), len(m), m.copy()), lambda d: None),
}


def disturbed(operation: Operation, m: AnyMap, change: str, present: bool, where: str) -> None:
    """Run the operation on an empty map with four colliding keys, one of which changes the map when it is called."""
    on_map, on_dict = CHANGES[change]
    stored, probe, neighbour = Trouble("k"), Trouble("k"), Trouble("n1")
    keys = [Key("n0"), neighbour, *([stored] if present else []), Key("n2")]
    m.update((key, 10) for key in keys)
    plain = {key.label: 10 for key in keys}
    actor = {"hash": probe, "eq of the probe": probe, "eq of a neighbour": neighbour, "eq of the key": stored}[where]
    if where == "hash":
        actor.on_hash = lambda: on_map(m)
    else:
        actor.on_eq = lambda: on_map(m)

    found = outcome(operation, m, probe)

    m._check()
    assert m.stats()["reserved"] == 0
    if actor.times:  # the search ended before it came to this key, so nothing was changed
        assert where in ("eq of a neighbour", "eq of the key")
        assert found == outcome_of_plain(operation, plain, "k")
        return
    before = outcome_of_plain(operation, plain, "k")
    on_dict(before[1])
    changed = dict(plain)
    on_dict(changed)
    after = outcome_of_plain(operation, changed, "k")
    assert found in (before, after)


@every_operation
@pytest.mark.parametrize("where", ["hash", "eq of the probe", "eq of a neighbour", "eq of the key"])
def test_the_map_changes_in_the_middle(m: AnyMap, operation: Operation, where: str) -> None:
    """The outcome is that of the operation before the change, or after it."""
    for change, present in itertools.product(CHANGES, [True, False] if where != "eq of the key" else [True]):
        try:
            disturbed(operation, m, change, present, where)
        except BaseException as error:
            error.add_note(f"change: {change}; the key was {'present' if present else 'absent'}")
            raise
        m.clear()


@every_operation
def test_the_map_changes_at_every_comparison(m: AnyMap, operation: Operation) -> None:
    """An operation ends however often the map changes under it: it asks no key twice."""
    fresh = itertools.count(1000)

    def disturb() -> None:
        number = next(fresh)
        m[Key(("new", number), number)] = 0
        m.pop(Key(("new", number - 20), number - 20), None)

    stored = [Trouble(number, on_eq=disturb, times=10**9) for number in range(20)]
    m.update((key, 10) for key in stored)
    for label in (3, "absent"):
        for key in stored:
            key.eqs = 0
        first = next(fresh)
        attempt(operation, m, Trouble(label))
        m._check()
        assert next(fresh) > first + 1 or label == 3
        searches = 2 if operation is OPERATIONS["count"] else 1
        assert max(key.eqs for key in stored) <= searches


@every_operation
def test_the_operation_recurses_on_the_same_key(m: AnyMap, operation: Operation) -> None:
    """__eq__ runs the same operation on the same key again, three levels deep."""
    stored = Trouble("k")
    m[stored] = 10
    probe = Trouble("k", times=3)

    def again() -> None:
        probe.busy = False
        attempt(operation, m, probe)

    probe.on_eq = again
    attempt(operation, m, probe)
    assert probe.times == 0
    m._check()


# -- colliding by the thousand ----------------------------------------------------------------------------------------

COLLIDING = 300


@every_operation
def test_no_key_is_compared_twice_in_one_operation(operation: Operation) -> None:
    """Keys with one hash make every operation linear in their number, not worse."""
    m: AnyMap = ShardMap()
    stored = [Trouble(number) for number in range(COLLIDING)]
    m.set_many((key, 10) for key in stored)
    for label in (0, COLLIDING // 2, COLLIDING - 1, "absent"):
        for key in stored:
            key.eqs = 0
        probe = Trouble(label)
        attempt(operation, m, probe)
        calls = probe.eqs + sum(key.eqs for key in stored)
        searches = 2 if operation is OPERATIONS["count"] else 1
        assert calls <= searches * len(stored), f"{calls} comparisons for one operation among {COLLIDING} keys"
    m._check()


def test_thousands_of_colliding_keys_do_not_blow_up_the_table() -> None:
    """A chain that no growth can shorten must not make the table grow again and again."""
    m: AnyMap = ShardMap(shards=1)
    usual: AnyMap = ShardMap(shards=1)
    stored = [Trouble(number, 5) for number in range(2000)]
    m.set_many((key, key.label) for key in stored)
    # Each key is compared with those before it, once.
    assert sum(key.eqs for key in stored) <= 2000 * 2000 / 2
    usual.set_many((Key(number, number), number) for number in range(2000))
    m._check()
    assert m.stats()["bytes"] <= 2 * usual.stats()["bytes"]
    assert m.stats()["growths"] <= 4 * usual.stats()["growths"] + 20
    for number in range(0, 2000, 50):
        assert m[Key(number, 5)] == number
    assert m.delete_many(stored[::2]) == 1000
    m._check()
    assert len(m) == 1000


def test_colliding_keys_under_constant_growth() -> None:
    m = VARIANTS["stressed-one-shard"]()
    control: dict[Any, int] = {}
    rng = random.Random(4)
    for step in range(3000):
        key = Key(rng.randrange(60), rng.randrange(2))
        key.chosen_hash = int(key.label) % 3  # type: ignore[call-overload]
        if rng.random() < 0.5:
            m[key] = control[key] = step
        else:
            assert m.pop(key, None) == control.pop(key, None)
        if step % 10 == 0:
            m._check()
            assert dict(m.items()) == control


# -- waiting ----------------------------------------------------------------------------------------------------------


@every_operation
@pytest.mark.parametrize("where", ["hash", "eq"])
def test_a_key_that_blocks_blocks_nobody_else(operation: Operation, where: str) -> None:
    """While one thread sits in __hash__ or __eq__, others use every key of the map, the same one included."""
    entered, leave = threading.Event(), threading.Event()
    m: AnyMap = ShardMap(shards=1)
    m[Key("k")] = 10
    m[Key("other")] = 10

    def block() -> None:
        entered.set()
        assert leave.wait(HANG)

    probe = Trouble("k", on_hash=block if where == "hash" else None, on_eq=block if where == "eq" else None)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(outcome(operation, m, probe)), daemon=True)
    thread.start()
    try:
        assert entered.wait(HANG)
        assert m[Key("k")] == 10
        assert m[Key("other")] == 10
        m[Key("k")] = 10
        for number in range(300):
            m[Key(("n", number), number)] = number
        assert m.add(Key("other"), 1) == 11
        assert m.compute(Key("other"), lambda old: old - 1) == 10
        assert m.insert(Key("new"), 1)
        assert len(m.snapshot()) == len(m) == len(list(m)) == 303
        assert m.delete_many([Key(("n", number), number) for number in range(300)] + [Key("new")]) == 301
        m._check()
        assert not results
    finally:
        leave.set()
        join_all([thread])
    assert results == [outcome_of_plain(operation, {"k": 10, "other": 10}, "k")]
    m._check()


def test_the_map_is_replaced_under_a_blocked_reader() -> None:
    """A reader that compares keys for a whole life of the map still gets an answer of some instant."""
    entered, leave = threading.Event(), threading.Event()
    m: AnyMap = ShardMap(shards=1)
    m[Key("k")] = 10

    def block() -> None:
        entered.set()
        assert leave.wait(HANG)

    results: list[Any] = []
    probe = Trouble("k", on_eq=block)
    thread = threading.Thread(target=lambda: results.append(m.get(probe)), daemon=True)
    thread.start()
    try:
        assert entered.wait(HANG)
        for _ in range(3):
            m.clear()
            m.shrink()
            m.update((Key(number, 0), number) for number in range(200))
            m.clear()
        m[Key("k")] = 11
    finally:
        leave.set()
        join_all([thread])
    assert results in ([10], [11])
    wait_until(lambda: m.stats()["waiting"] == 0)


# -- changing what is being iterated ----------------------------------------------------------------------------------


def test_a_key_that_empties_the_list_it_comes_from(m: AnyMap) -> None:
    """The bulk operations must not trust the length, or borrow the elements, of a list that __hash__ can change."""
    for method in ("count", "get_many", "delete_many"):
        for kind in ("clear", "append", "replace"):
            keys: list[Any] = [Key(number, number) for number in range(50)]

            def act(keys: list[Any] = keys, kind: str = kind) -> None:
                if kind == "clear":
                    keys.clear()
                elif kind == "append":
                    keys.extend(Key(("added", number), number) for number in range(50))
                else:
                    keys[:] = [Key(("replaced", number), number) for number in range(5)]

            keys.insert(10, Trouble("actor", 10, on_hash=act))
            keys.insert(12, Trouble("actor", 10, on_eq=act))
            getattr(m, method)(keys)
            m._check()


def test_a_pair_that_empties_the_list_it_comes_from(m: AnyMap) -> None:
    for kind in ("clear", "shorten the pair"):
        pairs: list[Any] = [[Key(number, number), number] for number in range(50)]
        pair: list[Any] = [None, 1]
        act = pairs.clear if kind == "clear" else pair.clear
        pair[0] = Trouble("actor", 10, on_hash=act)
        pairs.insert(10, pair)
        m.set_many(pairs)
        m._check()
        assert m[Key("actor", 10)] == 1


def test_a_dict_that_changes_while_it_is_read(m: AnyMap) -> None:
    """As for dict.update: RuntimeError, or the update goes through."""
    for act in (dict.clear, lambda d: d.update({("more", n): n for n in range(100)}), lambda d: d.pop(3, None)):
        source: dict[Any, Any] = {number: number for number in range(20)}
        m[Key("collides", 5)] = 0
        actor = Trouble("actor", 5)
        source[actor] = 1
        source.update({("later", number): number for number in range(20)})
        actor.on_hash = actor.on_eq = lambda source=source, act=act: act(source)
        actor.times = 1
        try:
            m.update(source)
        except RuntimeError:
            pass
        m._check()
        m.clear()


# -- the other side of the map ----------------------------------------------------------------------------------------


def test_whole_map_operations_with_hostile_keys(m: AnyMap) -> None:
    """copy, ==, snapshot, repr and pickling may call the keys' methods, which may do anything to the map."""
    for act in (m.clear, lambda: grow(m), m.shrink):
        m.clear()
        m.update((Trouble(number, number % 3, on_hash=act, on_eq=act, times=0), number) for number in range(30))
        for whole in (
            lambda: m.copy(),
            lambda: m.snapshot(),
            lambda: m == {Key(number, number % 3): number for number in range(30)},
            lambda: m.diff({Key(1, 1): 1}),
            lambda: m | {},
            lambda: set(m),
            lambda: m.keys() & {Key(1, 1)},
            lambda: m.get_many(m),
            lambda: m.delete_many(m),
        ):
            for key in list(m):
                if isinstance(key, Trouble):
                    key.times = 2
            whole()
            m._check()


def test_a_raising_key_breaks_no_whole_map_operation(m: AnyMap) -> None:
    m.update((Trouble(number, number), number) for number in range(10))
    for key in m:
        key.on_hash, key.times = fail, 10**9
    assert len(list(m)) == len(m) == 10
    made = m.copy()  # keeps the stored hashes
    made._check()
    assert len(made) == 10
    assert len(list(m.items())) == 10
    assert m.retain(lambda key, value: True) == 0
    m.reserve(1000)
    m.shrink()
    m.popitem()
    m.clear()
    assert len(m) == 0
    made.clear()
