"""Options and environment variables of the map: what is allowed, what beats what, what the errors say."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from support import run_python, run_python_ok

from shardmap import ConfigError, ShardMap, config

VARIABLES = ("SHARDMAP_SHARDS", "SHARDMAP_HASH_SEED")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


def shards_of(m: ShardMap[Any, Any]) -> int:
    return m.stats()["shards"]


def places(m: ShardMap[Any, Any]) -> list[int]:
    return [m.shard_of(number) for number in range(200)]


# -- shards -----------------------------------------------------------------------------------------------------------

GOOD_SHARDS = [1, 2, 4, 8, 32, 64, 1024, 2**16]
#: A text for the variable, and what the message says is nearest.
BAD_SHARDS = [("3", "2 or 4"), ("0", "1"), ("-1", "1"), ("-8", "1"), ("6", "4 or 8"), ("1000", "512 or 1024")]
BAD_SHARDS += [("65535", "32768 or 65536"), ("65537", "65536"), ("131072", "65536"), ("1" + "0" * 40, "65536")]
NO_NUMBERS = ["abc", "", " ", "1.0", "1e3", "0x", "two", "4 4", "4,", "None", "½", "1" * 5000]


@pytest.mark.parametrize("number", GOOD_SHARDS)
def test_good_shards(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    m: ShardMap[int, int] = ShardMap(shards=number)
    assert shards_of(m) == number
    m[1] = 1
    assert shards_of(m) == number
    monkeypatch.setenv("SHARDMAP_SHARDS", str(number))
    assert shards_of(ShardMap()) == number


def test_spellings_of_a_good_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("16", " 16 ", "16\n", "0x10", "0b10000", "0o20", "+16", "1_6"):
        monkeypatch.setenv("SHARDMAP_SHARDS", text)
        assert shards_of(ShardMap()) == 16


@pytest.mark.parametrize(("text", "nearest"), BAD_SHARDS)
def test_bad_shards(monkeypatch: pytest.MonkeyPatch, text: str, nearest: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ShardMap(shards=int(text))
    for part in ("shards", text, "power of two from 1 to 65536", f"nearest: {nearest}"):
        assert part in str(caught.value)
    monkeypatch.setenv("SHARDMAP_SHARDS", text)
    for make in (ShardMap, lambda: ShardMap([(1, 1)]), lambda: ShardMap.fromkeys([1]), config.check_environment):
        with pytest.raises(ConfigError) as caught:
            make()
        for part in ("SHARDMAP_SHARDS", text, "power of two from 1 to 65536", f"nearest: {nearest}"):
            assert part in str(caught.value)


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize(
    ("variable", "allowed"), [("SHARDMAP_SHARDS", "power of two"), ("SHARDMAP_HASH_SEED", "2**64 - 1")]
)
def test_what_is_no_number(monkeypatch: pytest.MonkeyPatch, variable: str, allowed: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    for make in (ShardMap, config.check_environment):
        with pytest.raises(ConfigError) as caught:
            make()
        for part in (variable, repr(text)[:60], allowed):
            assert part in str(caught.value)


@pytest.mark.parametrize("option", ["shards", "hash_seed", "capacity"])
@pytest.mark.parametrize("bad", ["4", 4.0, True, False, b"4", [4], object()])
def test_options_of_the_wrong_type(option: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=option):
        ShardMap(**{option: bad})


def test_options_take_whatever_is_an_integer() -> None:
    class Index:
        def __index__(self) -> int:
            return 4

    m: Any = ShardMap(shards=Index(), hash_seed=Index(), capacity=Index())  # type: ignore[call-overload]
    assert shards_of(m) == 4


def test_a_config_error_is_a_value_error() -> None:
    assert issubclass(ConfigError, ValueError)


def test_the_default_depends_on_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    for cpus, expected in [(None, 32), (1, 32), (2, 32), (8, 32), (9, 64), (64, 256), (100, 512), (10**6, 2**16)]:
        monkeypatch.setattr("os.cpu_count", lambda cpus=cpus: cpus)
        assert shards_of(ShardMap()) == expected


# -- seed -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**63, 2**64 - 1])
def test_good_seeds(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    expected = places(ShardMap(hash_seed=seed))
    assert places(ShardMap(hash_seed=seed)) == expected
    monkeypatch.setenv("SHARDMAP_HASH_SEED", str(seed))
    assert places(ShardMap()) == places(ShardMap()) == expected
    monkeypatch.setenv("SHARDMAP_HASH_SEED", hex(seed))
    assert places(ShardMap()) == expected


@pytest.mark.parametrize("text", ["-1", str(2**64), "-" + str(2**64), "1" + "0" * 60])
def test_bad_seeds(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ShardMap(hash_seed=int(text))
    for part in ("hash_seed", text, "0 to 2**64 - 1"):
        assert part in str(caught.value)
    monkeypatch.setenv("SHARDMAP_HASH_SEED", text)
    for make in (ShardMap, config.check_environment):
        with pytest.raises(ConfigError) as caught:
            make()
        for part in ("SHARDMAP_HASH_SEED", text, "0 to 2**64 - 1"):
            assert part in str(caught.value)


# -- capacity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [0, 1, 100, 50_000])
def test_capacity_spares_the_growth(capacity: int) -> None:
    m: ShardMap[int, int] = ShardMap(capacity=capacity, shards=8, hash_seed=1)
    before = m.stats()
    m.update((number, number) for number in range(capacity))
    after = m.stats()
    assert after["growths"] == before["growths"] == 0
    assert after["entries"] == capacity
    assert after["buckets"] == before["buckets"] or capacity == 0
    m._check()


def test_capacity_with_entries() -> None:
    m = ShardMap({number: number for number in range(1000)}, capacity=1000, shards=4)
    assert len(m) == 1000
    assert m.stats()["growths"] == 0


@pytest.mark.parametrize("bad", [-1, 2**48, 2**63, 2**64, 10**30])
def test_bad_capacity(bad: int) -> None:
    with pytest.raises(ConfigError) as caught:
        ShardMap(capacity=bad)
    for part in ("capacity", str(bad), "2**48"):
        assert part in str(caught.value)


# -- precedence, and when the environment is read ---------------------------------------------------------------------


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_SHARDS", "16")
    monkeypatch.setenv("SHARDMAP_HASH_SEED", "7")
    assert shards_of(ShardMap(shards=4)) == 4
    assert places(ShardMap(hash_seed=8, shards=16)) == places(ShardMap(hash_seed=8))
    assert places(ShardMap(hash_seed=8)) != places(ShardMap())
    monkeypatch.setenv("SHARDMAP_SHARDS", "3")
    monkeypatch.setenv("SHARDMAP_HASH_SEED", "x")
    assert shards_of(ShardMap(shards=4, hash_seed=1)) == 4


def test_the_environment_is_read_for_each_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_SHARDS", "2")
    first: ShardMap[int, int] = ShardMap()
    monkeypatch.setenv("SHARDMAP_SHARDS", "4")
    assert (shards_of(first), shards_of(ShardMap())) == (2, 4)


def test_the_environment_counts_wherever_a_map_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sloppy(ShardMap[Any, Any]):
        def __init__(self) -> None:
            """Never calls ours."""

    monkeypatch.setenv("SHARDMAP_SHARDS", "2")
    assert shards_of(Sloppy()) == 2
    assert shards_of(ShardMap.fromkeys([1])) == 2
    monkeypatch.setenv("SHARDMAP_SHARDS", "5")
    late = Sloppy()
    for use in (lambda: late.__setitem__(1, 1), lambda: late.stats(), lambda: late.shard_of(1)):
        with pytest.raises(ConfigError, match="SHARDMAP_SHARDS=5"):
            use()
    monkeypatch.delenv("SHARDMAP_SHARDS")
    late[1] = 1
    assert late == {1: 1}


def test_copies_keep_their_options_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    m = ShardMap({1: 1}, shards=4)
    monkeypatch.setenv("SHARDMAP_SHARDS", "16")
    assert shards_of(m.copy()) == 4
    assert shards_of(m | {2: 2}) == 4
    assert shards_of({2: 2} | m) == 4


# -- at import --------------------------------------------------------------------------------------------------------

BAD_AT_IMPORT = [("SHARDMAP_SHARDS", text) for text in ("3", "abc", "-1", "0", "", "9" * 30)]
BAD_AT_IMPORT += [("SHARDMAP_HASH_SEED", text) for text in ("abc", "-1", "", "9" * 30)]


@pytest.mark.parametrize(("variable", "text"), BAD_AT_IMPORT)
def test_a_bad_variable_stops_the_program_at_import(variable: str, text: str) -> None:
    done = run_python("import shardmap; print('went on')", env={variable: text})
    assert done.returncode == 1
    assert "went on" not in done.stdout
    last_line = done.stderr.strip().splitlines()[-1]
    assert "ConfigError" in last_line
    assert re.search(rf"{variable}='?{re.escape(text)}", last_line)
    assert "allowed is" in last_line


def test_good_variables_at_import() -> None:
    code = """
import shardmap
m = shardmap.ShardMap()
m[1] = 1
print(m.stats()["shards"], [m.shard_of(n) for n in range(100)])
"""
    env = {"SHARDMAP_SHARDS": "16", "SHARDMAP_HASH_SEED": "5"}
    here: ShardMap[int, int] = ShardMap(shards=16, hash_seed=5)
    expected = f"16 {[here.shard_of(number) for number in range(100)]}\n"
    assert run_python_ok(code, env=env) == run_python_ok(code, env=env) == expected


def test_the_import_keeps_the_gil_off() -> None:
    code = "import sys, shardmap; print(getattr(sys, '_is_gil_enabled', lambda: True)())"
    assert run_python_ok(code, options=("-W", "error")) == f"{getattr(sys, '_is_gil_enabled', lambda: True)()}\n"
