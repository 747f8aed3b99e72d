"""Random sequences of commands give the replies that a Python model gives; against Redis this checks the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from concurrency import SCALE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripts import same
from string_model import LEAST, MOST, Model
from targets import Target
from wire import NO_LIST, OK, QUEUED, ReplyError

#: Beyond the year 3000: nothing expires while a test runs.
FAR = 33_177_117_420_000

KEYS = [b"", b"a", b"b", b"c", b"n:1", b"\0\r\n"]
VALUES = st.one_of(
    st.sampled_from(
        [b"", b"0", b"1", b"-1", b"41", b"9223372036854775807", b"-9223372036854775808", b"01", b"x", b"1.5"]
    ),
    st.binary(max_size=80),
)


#: A command as it is sent, and what the model makes of it.
Step = tuple[list[Any], Callable[[Model], Any]]

key = st.sampled_from(KEYS)
times = st.integers(FAR, FAR + 1000)
amounts = st.one_of(st.integers(-100, 100), st.integers(LEAST + 1, MOST))


def _set(k: bytes, v: bytes, condition: str, get: bool, kept: str, at: int) -> Step:
    # Redis 6 and before knew NX and GET only apart from each other.
    options = [word for word in (condition, "GET" if get else "", "KEEPTTL" if kept == "KEEPTTL" else "") if word]
    sent = [*options, *(["PXAT", at] if kept == "PXAT" else [])]
    return ["SET", k, v, *sent], lambda m: m.set(k, v, *options, at=at if kept == "PXAT" else 0)


def _getex(k: bytes, how: str, at: int) -> Step:
    options: dict[str, list[Any]] = {"": [], "PERSIST": ["PERSIST"], "PXAT": ["PXAT", at]}
    moment = {"": None, "PERSIST": 0, "PXAT": at}[how]
    return ["GETEX", k, *options[how]], lambda m: m.getex(k, moment)


def _pairs(words: list[tuple[bytes, bytes]]) -> list[bytes]:
    return [word for pair in words for word in pair]


COMMANDS: st.SearchStrategy[Step] = st.one_of(
    st.builds(lambda k: (["GET", k], lambda m: m.get(k)), key),
    st.builds(
        _set, key, VALUES, st.sampled_from(["", "NX", "XX"]), st.booleans(), st.sampled_from(["", "KEEPTTL", "PXAT"]), times
    ),
    st.builds(lambda k, v: (["SETNX", k, v], lambda m: m.setnx(k, v)), key, VALUES),
    st.builds(lambda k, v: (["GETSET", k, v], lambda m: m.getset(k, v)), key, VALUES),
    st.builds(lambda k: (["GETDEL", k], lambda m: m.getdel(k)), key),
    st.builds(_getex, key, st.sampled_from(["", "PERSIST", "PXAT"]), times),
    st.builds(lambda ks: (["MGET", *ks], lambda m: m.mget(*ks)), st.lists(key, min_size=1)),
    st.builds(
        lambda ws: (["MSET", *_pairs(ws)], lambda m: m.mset(*_pairs(ws))), st.lists(st.tuples(key, VALUES), min_size=1)
    ),
    st.builds(
        lambda ws: (["MSETNX", *_pairs(ws)], lambda m: m.msetnx(*_pairs(ws))),
        st.lists(st.tuples(key, VALUES), min_size=1),
    ),
    st.builds(lambda k, v: (["APPEND", k, v], lambda m: m.append(k, v)), key, VALUES),
    st.builds(lambda k: (["STRLEN", k], lambda m: m.strlen(k)), key),
    st.builds(lambda k, o, v: (["SETRANGE", k, o, v], lambda m: m.setrange(k, o, v)), key, st.integers(0, 100), VALUES),
    st.builds(
        lambda k, a, b: (["GETRANGE", k, a, b], lambda m: m.getrange(k, a, b)),
        key,
        st.integers(-20, 20),
        st.integers(-20, 20),
    ),
    st.builds(lambda k: (["INCR", k], lambda m: m.incrby(k, 1)), key),
    st.builds(lambda k: (["DECR", k], lambda m: m.incrby(k, -1)), key),
    st.builds(lambda k, n: (["INCRBY", k, n], lambda m: m.incrby(k, n)), key, amounts),
    st.builds(lambda k, n: (["DECRBY", k, n], lambda m: m.incrby(k, -n)), key, amounts),
    st.builds(lambda w, ks: ([w, *ks], lambda m: m.delete(*ks)), st.sampled_from(["DEL", "UNLINK"]), st.lists(key, min_size=1)),
    st.builds(lambda w, ks: ([w, *ks], lambda m: m.exists(*ks)), st.sampled_from(["EXISTS", "TOUCH"]), st.lists(key, min_size=1)),
    st.builds(lambda k: (["TYPE", k], lambda m: m.type(k)), key),
    st.builds(lambda k, n: (["RENAME", k, n], lambda m: m.rename(k, n)), key, key),
    st.builds(lambda k, n: (["RENAMENX", k, n], lambda m: m.renamenx(k, n)), key, key),
    st.tuples(key, key, st.booleans())
    .filter(lambda words: words[0] != words[1])
    .map(lambda words: (["COPY", *words[:2], *["REPLACE"] * words[2]], lambda m: m.copy(*words))),
    st.builds(lambda k, a, o: (["PEXPIREAT", k, a, *[o] * bool(o)], lambda m: m.pexpireat(k, a, o)), key, st.one_of(times, st.just(1)), st.sampled_from(["", "NX", "XX", "GT", "LT"])),
    st.builds(lambda k: (["PERSIST", k], lambda m: m.persist(k)), key),
    st.builds(lambda k: (["PEXPIRETIME", k], lambda m: m.pexpiretime(k)), key),
    st.just((["DBSIZE"], lambda m: m.dbsize())),
    st.just((["KEYS", "*"], lambda m: m.keys())),
    st.just((["FLUSHALL"], lambda m: m.flushall())),
)  # fmt: skip

#: One command, a transaction of several, or one that is discarded.
TURNS = st.one_of(
    COMMANDS.map(lambda step: ("one", [step])),
    st.tuples(st.sampled_from(["EXEC", "DISCARD"]), st.lists(COMMANDS, max_size=6)),
)


def _played(turns: list[tuple[str, list[Step]]], model: Model) -> Iterator[tuple[list[Any], Any]]:
    """What is sent, and what must come back."""
    for kind, steps in turns:
        if kind == "one":
            words, act = steps[0]
            yield words, act(model)
            continue
        yield ["MULTI"], OK
        for words, _ in steps:
            yield words, QUEUED
        yield [kind], [act(model) for _, act in steps] if kind == "EXEC" else OK


@pytest.mark.parametrize("version", [2, 3])
@settings(
    max_examples=max(10, int(150 * SCALE)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(turns=st.lists(TURNS, max_size=40), at_once=st.booleans())
def test_the_model_agrees(server: Target, version: int, turns: list[tuple[str, list[Step]]], at_once: bool) -> None:
    model = Model()
    with server.connect() as wire:
        wire.hello(version)
        assert wire("FLUSHALL") == OK
        exchanges = list(_played(turns, model))
        replies = wire.pipeline(words for words, _ in exchanges) if at_once else (wire(*words) if len(words) > 1 else wire(words) for words, _ in exchanges)  # fmt: skip
        for (words, expected), reply in zip(exchanges, replies, strict=True):
            assert same(expected, reply), f"{words}: {reply!r}, expected {expected!r}"
        everything = {key: wire("GET", key) for key in wire("KEYS *")}
        assert everything == model.values
        assert {key: at for key in everything if (at := wire("PEXPIRETIME", key)) != -1} == model.expiry


@settings(
    max_examples=max(10, int(60 * SCALE)),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=st.lists(COMMANDS, max_size=10), watched=st.lists(key, min_size=1, max_size=3), between=st.lists(COMMANDS, max_size=3), after=st.lists(COMMANDS, max_size=4))  # fmt: skip
def test_a_transaction_is_executed_unless_a_watched_key_has_changed(
    server: Target, before: list[Step], watched: list[bytes], between: list[Step], after: list[Step]
) -> None:
    """A change of a watched entry must break the watch. What leaves it as it was may break it or not."""
    model = Model()
    with server.connect() as wire, server.connect() as other:
        assert wire("FLUSHALL") == OK
        for words, act in before:
            act(model)
            wire.pipeline([words])
        assert wire("WATCH", *watched) == OK
        seen = [(model.values.get(one), model.expiry.get(one)) for one in watched]
        for words, act in between:
            expected = act(model)
            assert same(expected, other.pipeline([words])[0])
        changed = seen != [(model.values.get(one), model.expiry.get(one)) for one in watched]
        replies = wire.pipeline([["MULTI"], *(words for words, _ in after), ["EXEC"]])
        broken = replies[-1] is NO_LIST
        assert broken or not changed
        if not between:
            assert not broken
        if not broken:
            assert same([act(model) for _, act in after], replies[-1])
        assert {one: wire("GET", one) for one in wire("KEYS *")} == model.values


@settings(
    max_examples=max(20, int(200 * SCALE)), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(number=st.decimals(-(10**9), 10**9, places=6), amount=st.decimals(-(10**9), 10**9, places=6))
def test_float_increments_are_sums(server: Target, number: Any, amount: Any) -> None:
    with server.connect() as wire:
        assert wire("SET", "f", str(number)) == OK
        reply = wire("INCRBYFLOAT", "f", f"{amount:f}")
        assert not isinstance(reply, ReplyError)
        assert math.isclose(float(reply), float(number + amount), rel_tol=1e-9, abs_tol=1e-6)
        assert wire("GET f") == reply
        assert b"e" not in reply
        assert not reply.endswith((b".", b".0"))
