"""SCAN and KEYS: every key that is there all along is returned, whatever happens meanwhile; patterns match as Redis's do."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
from concurrency import scaled
from scripts import error, same
from targets import Connect
from wire import OK, Wire

SYNTAX = error("ERR syntax error")


def scan(wire: Wire, *options: object) -> Iterator[bytes]:
    """All that a whole scan returns, with repetitions."""
    cursor = b"0"
    while True:
        cursor, found = wire("SCAN", cursor, *options)
        yield from found
        if cursor == b"0":
            return


def fill(wire: Wire, count: int, prefix: str = "key") -> set[bytes]:
    keys = {f"{prefix}:{number}".encode() for number in range(count)}
    wire.pipeline(("SET", key, "v") for key in keys)
    return keys


@pytest.mark.parametrize("count", [0, 1, 2, 10, 1000, 20_000])
def test_a_scan_returns_every_key(wire: Wire, count: int) -> None:
    keys = fill(wire, count)
    assert set(scan(wire)) == keys
    assert set(scan(wire, "COUNT", 1000)) == keys
    assert set(wire("KEYS *")) == keys


@pytest.mark.parametrize("count", [1, 2, 7, 10, 100, 10_000, 9_000_000_000_000_000_000])
def test_every_count_will_do(wire: Wire, count: int) -> None:
    keys = fill(wire, 300)
    assert set(scan(wire, "COUNT", count)) == keys


def test_match_and_type(wire: Wire) -> None:
    keys = fill(wire, 500, "a") | fill(wire, 500, "b")
    assert set(scan(wire, "MATCH", "a:*")) == {key for key in keys if key.startswith(b"a")}
    assert set(scan(wire, "MATCH", "a:7", "COUNT", 100)) == {b"a:7"}
    assert set(scan(wire, "TYPE", "string", "MATCH", "?:1?")) == {
        key for key in keys if len(key) == 4 and key[2:3] == b"1"
    }
    assert set(scan(wire, "TYPE", "STRING")) == keys
    assert list(scan(wire, "TYPE", "list")) == []
    assert list(scan(wire, "MATCH", "none*", "TYPE", "string", "COUNT", 50)) == []


def test_errors(wire: Wire) -> None:
    for command, expected in (
        ("SCAN", error("ERR wrong number of arguments for 'scan' command")),
        ("SCAN x", error("ERR invalid cursor")),
        ("SCAN -x", error("ERR invalid cursor")),
        ("SCAN 1x", error("ERR invalid cursor")),
        ("SCAN 0 COUNT 0", SYNTAX),
        ("SCAN 0 COUNT -1", SYNTAX),
        ("SCAN 0 COUNT x", error("ERR value is not an integer or out of range")),
        ("SCAN 0 COUNT", SYNTAX),
        ("SCAN 0 MATCH", SYNTAX),
        ("SCAN 0 FOO 1", SYNTAX),
        ("KEYS", error("ERR wrong number of arguments for 'keys' command")),
        ("KEYS a b", error("ERR wrong number of arguments for 'keys' command")),
    ):
        assert same(expected, wire(command)), command


@pytest.mark.parametrize("cursor", [1, 17, 12345678901234567890 % (1 << 63), (1 << 63) - 1, (1 << 64) - 1])
def test_a_cursor_that_nobody_gave_out_does_no_harm(wire: Wire, cursor: int) -> None:
    keys = fill(wire, 100)
    following = b"%d" % cursor
    for _ in range(1000):
        following, found = wire("SCAN", following)
        assert set(found) <= keys
        if following == b"0":
            break
    assert following == b"0"


def test_growth_in_the_midst_of_a_scan_loses_nothing(connect: Connect) -> None:
    """What was there before the first call and is there after the last is returned, through doublings of the table."""
    scanner, writer = connect(), connect()
    keys = fill(writer, 500, "permanent")
    seen: set[bytes] = set()
    cursor, step = b"0", 0
    while True:
        cursor, found = scanner("SCAN", cursor, "COUNT", 5)
        seen.update(found)
        if cursor == b"0":
            break
        if step < 60:
            writer.pipeline(("SET", f"new:{step}:{number}", "v") for number in range(300))
            step += 1
    assert step > 5
    assert keys <= seen


def test_deletions_in_the_midst_of_a_scan_lose_nothing(connect: Connect) -> None:
    scanner, writer = connect(), connect()
    keys = fill(writer, 500, "permanent")
    doomed = sorted(fill(writer, 20_000, "doomed"))
    seen: set[bytes] = set()
    cursor = b"0"
    while True:
        cursor, found = scanner("SCAN", cursor, "COUNT", 20)
        seen.update(found)
        if cursor == b"0":
            break
        if doomed:
            writer("UNLINK", *doomed[-100:])
            del doomed[-100:]
    assert keys <= seen


def test_scans_beside_writers_find_every_permanent_key(connect: Connect) -> None:
    keys = fill(connect(), 2000, "permanent")
    stop = threading.Event()
    writers = [threading.Thread(target=_churn, args=(connect(), number, stop)) for number in range(2)]
    for writer in writers:
        writer.start()
    scanner = connect()
    try:
        for number in range(scaled(6, 2)):
            found = list(scan(scanner, "COUNT", [10, 100, 1000][number % 3]))
            assert keys <= set(found)
            assert set(scan(scanner, "MATCH", "permanent:1?", "COUNT", 500)) == {
                b"permanent:1%d" % n for n in range(10)
            }
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def _churn(wire: Wire, number: int, stop: threading.Event) -> None:
    """Grow by thousands, shrink again, overwrite, expire."""
    turn = 0
    while not stop.is_set():
        turn += 1
        names = [f"churn:{number}:{turn}:{one}" for one in range(1000)]
        wire.pipeline(("SET", name, "v") for name in names)
        wire.pipeline(("PEXPIRE", name, 1) for name in names[::3])
        wire("UNLINK", *names)
        time.sleep(0.002)


def test_expired_keys_are_not_returned(wire: Wire) -> None:
    keys = fill(wire, 200)
    wire.pipeline(("SET", f"gone:{number}", "v", "PXAT", 1) for number in range(200))
    wire.pipeline(("SET", f"soon:{number}", "v", "PX", 20) for number in range(200))
    time.sleep(0.06)
    assert set(scan(wire)) == keys
    assert set(wire("KEYS *")) == keys


#: Pattern, what matches it, what does not.
PATTERNS: list[tuple[bytes, list[bytes], list[bytes]]] = [
    (b"*", [b"", b"a", b"abc", b"\0\xff", b"*"], []),
    (b"**", [b"a", b"ab"], []),
    (b"", [b""], [b"a"]),
    (b"?", [b"a", b"\xff", b"?"], [b"", b"ab"]),
    (b"??", [b"ab", "é".encode()], [b"a", b"abc"]),
    (b"a*", [b"a", b"abc"], [b"", b"ba"]),
    (b"*a", [b"a", b"ba"], [b"ab", b""]),
    (b"a*c", [b"ac", b"abc", b"abcc"], [b"a", b"c", b"acb"]),
    (b"h?llo", [b"hello", b"hxllo"], [b"hllo", b"heello"]),
    (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo", b"hllo"]),
    (b"h[^e]llo", [b"hallo", b"h^llo"], [b"hello", b"hllo"]),
    (b"h[a-c]llo", [b"hallo", b"hbllo", b"hcllo"], [b"hdllo", b"h-llo"]),
    (b"h[c-a]llo", [b"hallo", b"hbllo", b"hcllo"], [b"hdllo"]),
    (b"[^a-c]", [b"d", b"-", b"^"], [b"a", b"b", b"c", b"", b"dd"]),
    (b"[a-]", [b"a", b"^"], [b"b", b"-"]),
    (b"[\\]]", [b"]"], [b"\\", b"a"]),
    (b"[\\-]", [b"-"], [b"\\", b"a"]),
    (b"[a\\]b]", [b"a", b"]", b"b"], [b"\\"]),
    (b"[]", [], [b"", b"]", b"[]", b"a"]),
    (b"[]a]", [], [b"]", b"a"]),
    (b"[^]", [b"^", b"a"], [b""]),
    (b"[^]a]", [b"xa]"], [b"b", b"]", b"a]", b"a"]),
    (b"[a", [b"a"], [b"", b"b", b"[a"]),
    (b"[abc", [b"a", b"b", b"c"], [b"d", b"[abc"]),
    (b"[", [], [b"", b"[", b"a"]),
    (b"a[", [], [b"a", b"a["]),
    (b"\\*", [b"*"], [b"a", b"\\*", b""]),
    (b"\\?", [b"?"], [b"a"]),
    (b"\\[a]", [b"[a]"], [b"a"]),
    (b"\\\\", [b"\\"], [b"\\\\"]),
    (b"a\\", [b"a\\"], [b"a", b"a\\\\"]),
    (b"\\a", [b"a"], [b"\\a"]),
    (b"a?*", [b"ab", b"abc"], [b"a"]),
    (b"*?", [b"a", b"ab"], [b""]),
    (b"*a*b*", [b"ab", b"xaxbx"], [b"ba", b"a"]),
    (b"\0*", [b"\0", b"\0a"], [b"", b"a"]),
    (b"[\x80-\xff]", [b"\x80", b"\xff"], [b"a", b"\x7f"]),
    (b"A*", [b"A", b"AB"], [b"a"]),
    (b"*:*:*", [b"::", b"a:b:c"], [b"a:b"]),
    (b"a]", [b"a]"], [b"a"]),
    (b"{a}", [b"{a}"], [b"a"]),
    (b"[a-z][0-9]", [b"a0", b"z9"], [b"0a", b"a", b"aa"]),
    (b"*[0-9]", [b"0", b"a1"], [b"", b"a"]),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "matching", "others"), PATTERNS, ids=[repr(pattern) for pattern, *_ in PATTERNS])
def test_patterns(wire: Wire, pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    for key in matching + others:
        assert wire("SET", key, "v") == OK
    assert sorted(wire("KEYS", pattern)) == sorted(matching)
    assert sorted(set(scan(wire, "MATCH", pattern, "COUNT", 100))) == sorted(matching)


HOSTILE = [
    b"a*" * 10 + b"b", b"a*" * 100 + b"b", b"*a" * 100 + b"*b", b"a*" * 1000, b"*" * 10_000 + b"b", b"?*" * 200 + b"b",
    b"[a]*" * 50 + b"b", b"[^b]*" * 50 + b"b", b"*[" * 50, b"\\" * 9_999, b"[" + b"a-z" * 3_000, b"*a" * 20_000 + b"b",
]  # fmt: skip


@pytest.mark.ours
@pytest.mark.parametrize("pattern", HOSTILE, ids=lambda pattern: repr(pattern[:12]))
def test_hostile_patterns_take_no_longer_than_others(connect: Connect, pattern: bytes) -> None:
    """Backtracking that is not bounded takes years on these; and nobody else waits meanwhile."""
    wire, other = connect(), connect()
    for number in range(50):
        assert wire("SET", b"a" * 200 + b"%d" % number, "v") == OK
    began = time.process_time()
    wire.send_commands(["KEYS", pattern], ["SCAN", "0", "MATCH", pattern, "COUNT", "100"])
    assert other("PING")
    wire.replies(2)
    assert time.process_time() - began < 5


def test_random_patterns_of_stars_and_letters(wire: Wire) -> None:
    """Against an obvious matcher."""
    rng = random.Random(3)
    keys = {bytes(rng.choices(b"ab", k=rng.randrange(8))) for _ in range(100)}
    for key in keys:
        assert wire("SET", key, "v") == OK
    for _ in range(scaled(150)):
        pattern = bytes(rng.choices(b"ab*?", k=rng.randrange(8)))
        assert set(wire("KEYS", pattern)) == {key for key in keys if _matches(pattern, key)}, pattern


def _matches(pattern: bytes, text: bytes) -> bool:
    if not pattern:
        return not text
    if pattern[:1] == b"*":
        return any(_matches(pattern[1:], text[place:]) for place in range(len(text) + 1))
    return bool(text) and pattern[:1] in (b"?", text[:1]) and _matches(pattern[1:], text[1:])
