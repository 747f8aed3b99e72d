"""Commands about the server: configuration, the slow log, latency, what is known of commands, scripts, saving."""

from __future__ import annotations

import time
from typing import Any

import pytest
from scripts import ANY, Between, Flat, In, Matching, arity, error, same
from targets import Connect, ServerWith, Target
from wire import NO_LIST, OK, ReplyError, Simple, Wire


def as_dict(reply: Any) -> dict[bytes, Any]:
    return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))


# -- INFO -------------------------------------------------------------------------------------------------------------


def info(wire: Wire, *section: str) -> dict[str, str]:
    text = wire(" ".join(["INFO", *section]))
    lines = (text if isinstance(text, bytes) else text.removeprefix("txt:").encode()).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if line and not line.startswith("#"))


def test_info_has_what_clients_look_for(wire: Wire) -> None:
    wire.pipeline(["MSET a 1 b 2", "SET c 3 EX 100", "GET a", "GET none"])
    everything = info(wire)
    for field in (
        "redis_version", "redis_mode", "process_id", "tcp_port", "uptime_in_seconds", "connected_clients", "used_memory",
        "used_memory_human", "used_memory_rss", "maxmemory", "maxmemory_policy", "mem_fragmentation_ratio", "loading",
        "rdb_last_save_time", "rdb_bgsave_in_progress", "total_connections_received", "total_commands_processed",
        "instantaneous_ops_per_sec", "keyspace_hits", "keyspace_misses", "expired_keys", "evicted_keys", "role",
        "used_cpu_sys", "used_cpu_user", "db0",
    ):  # fmt: skip
        assert field in everything, field
    assert everything["db0"].startswith("keys=3,expires=1,avg_ttl=")
    assert everything["role"] == "master"


def test_info_of_a_section(wire: Wire) -> None:
    assert "redis_version" in info(wire, "server")
    assert "used_memory" not in info(wire, "server")
    assert "used_memory" in info(wire, "MEMORY")
    assert info(wire, "nosuch") == {}
    assert "cmdstat_ping" not in info(wire)
    wire("PING")
    assert info(wire, "commandstats")["cmdstat_ping"].startswith("calls=")
    assert "cmdstat_ping" in info(wire, "everything")


def test_info_counts(connect: Connect) -> None:
    wire = connect()
    wire("CONFIG RESETSTAT")
    before = info(wire)
    connect()("PING")
    wire.pipeline(["SET a 1", "GET a", "GET a", "GET none", "MGET a none", "SET gone 1 PX 1"])
    time.sleep(0.02)
    wire("GET gone")
    after = info(wire)

    def grown(field: str) -> int:
        return int(after[field]) - int(before[field])

    assert grown("keyspace_hits") == 3
    assert grown("keyspace_misses") == 3
    assert grown("expired_keys") == 1
    assert grown("total_connections_received") == 1
    assert 8 <= grown("total_commands_processed") <= 10
    assert grown("connected_clients") == 1


# -- CONFIG -----------------------------------------------------------------------------------------------------------


def test_config_get(wire: Wire) -> None:
    assert same(Flat(maxmemory=b"0"), wire("CONFIG GET maxmemory"))
    assert same(Flat(maxmemory=b"0", maxmemory_policy=b"noeviction"), wire("CONFIG GET maxmemory*"))
    assert {name.lower(): value for name, value in as_dict(wire("CONFIG GET MAXMEMORY")).items()} == {
        b"maxmemory": b"0"
    }
    assert same(Flat(save=ANY, appendonly=b"no"), wire("CONFIG GET save appendonly"))
    assert wire("CONFIG GET nosuch") in ([], {})
    assert len(as_dict(wire("CONFIG GET *"))) > 10
    assert wire("CONFIG GET") == arity("config|get")
    assert wire("CONFIG") == arity("config")
    assert wire("CONFIG NOSUCH") == error("ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP.")
    assert same(ANY, wire("CONFIG HELP"))


def test_config_set(wire: Wire) -> None:
    try:
        for value, shown in (("100mb", b"104857600"), ("1gb", b"1073741824"), ("50000000", b"50000000"), ("0", b"0")):
            assert wire("CONFIG", "SET", "maxmemory", value) == OK
            assert same(Flat(maxmemory=shown), wire("CONFIG GET maxmemory"))
        assert wire("CONFIG SET maxmemory-policy allkeys-lru maxmemory 1gb") == OK
        assert same(Flat(maxmemory=b"1073741824", maxmemory_policy=b"allkeys-lru"), wire("CONFIG GET maxmemory*"))
        assert same(Matching("ERR .*maxmemory-policy.*"), wire("CONFIG SET maxmemory-policy bogus"))
        assert same(Matching("ERR .*maxmemory.*"), wire("CONFIG SET maxmemory bogus"))
        assert same(Matching("ERR .*"), wire("CONFIG SET maxmemory 2gb maxmemory-policy bogus"))
        assert same(Flat(maxmemory=b"1073741824", maxmemory_policy=b"allkeys-lru"), wire("CONFIG GET maxmemory*"))
        assert same(
            Matching("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"), wire("CONFIG SET nosuch 1")
        )
        assert wire("CONFIG SET maxmemory") == arity("config|set")
        assert same(Matching("ERR .*"), wire("CONFIG SET maxmemory 1 save"))
    finally:
        assert wire("CONFIG SET maxmemory-policy noeviction maxmemory 0") == OK


def test_config_resetstat(wire: Wire) -> None:
    wire.pipeline(["GET a"] * 50)
    assert wire("CONFIG RESETSTAT") == OK
    assert int(info(wire)["keyspace_misses"]) == 0
    assert wire("CONFIG RESETSTAT x") == arity("config|resetstat")


# -- the bound --------------------------------------------------------------------------------------------------------


def test_a_full_store_refuses_what_grows_it_and_serves_the_rest(server_with: ServerWith) -> None:
    server = server_with(max_memory=32 << 20)
    with server.connect() as wire:
        value = b"v" * 10_000
        full = Matching("OOM command not allowed when used memory > 'maxmemory'.*")
        # A bound may hold for parts of the store, of which some are full before others.
        replies = [wire("SET", f"k{number}", value) for number in range(6_000)]
        stored = [f"k{number}" for number, reply in enumerate(replies) if reply == OK]
        assert 500 < len(stored) < 4_000
        assert all(same(full, reply) for reply in replies if reply != OK)
        assert same(full, wire("SET", "large", value * 3_000))
        assert same(full, wire("MSET", "a", value * 1_500, "b", value * 1_500))
        assert wire("EXISTS a b large") == 0
        assert wire("GET", stored[0]) == value
        assert wire("TTL", stored[0]) == -1
        # An entry that has had no time to live may need room for one.
        assert same(In(1, full), wire("EXPIRE", stored[0], 100))
        assert wire("DBSIZE") == len(stored)
        assert wire("UNLINK", *stored) == len(stored)
        assert wire("SET", "k0", value) == OK
        if server.kind != "shardmap":
            wire("FLUSHALL")


def test_eviction_makes_room(server_with: ServerWith) -> None:
    server = server_with(max_memory=32 << 20, eviction="allkeys-lru")
    with server.connect() as wire:
        value = b"v" * 10_000
        for number in range(0, 8_000, 100):
            assert set(wire.pipeline(("SET", f"k{one}", value) for one in range(number, number + 100))) == {OK}
        assert wire("GET k7999") == value
        assert 500 < wire("DBSIZE") < 4_000
        assert int(info(wire)["evicted_keys"]) > 3_000


# -- slow log, latency ------------------------------------------------------------------------------------------------


def test_slow_log(server_with: ServerWith) -> None:
    server = server_with(slow_log_threshold=0, slow_log_length=5)
    with server.connect() as wire:
        wire("CLIENT SETNAME tester")
        assert wire("SLOWLOG RESET") == OK
        for number in range(8):
            wire("SET", f"k{number}", "v")
        assert wire("SLOWLOG LEN") == 5
        entries = wire("SLOWLOG GET 3")
        assert len(entries) == 3
        number, when, spent, words, address, name = entries[-1]
        assert isinstance(number, int)
        assert abs(when - time.time()) < 60
        assert isinstance(spent, int)
        assert words[0].lower() in {b"set", b"slowlog"}
        assert address == "{}:{}".format(*wire.socket.getsockname()).encode()
        assert name == b"tester"
        assert [one[0] for one in entries] == sorted((one[0] for one in entries), reverse=True)
        wire("MSET", *(f"word{one}" for one in range(100)))
        wire("SET", "long", "x" * 1000)
        long, many = wire("SLOWLOG GET 2")[0][3], wire("SLOWLOG GET 3")[2][3]
        assert long[:2] == [b"SET", b"long"] or long[0] == b"SLOWLOG"
        assert any(len(one[3]) == 32 and one[3][-1] == b"... (70 more arguments)" for one in wire("SLOWLOG GET -1")), (
            many
        )
        assert any(one[3][-1] == b"x" * 128 + b"... (872 more bytes)" for one in wire("SLOWLOG GET"))
        assert wire("SLOWLOG RESET") == OK
        assert wire("SLOWLOG LEN") in {0, 1, 2}
        assert same(Matching("ERR .*"), wire("SLOWLOG GET -2"))
        assert same(Matching("ERR .*"), wire("SLOWLOG GET x"))
        assert wire("SLOWLOG NOSUCH") == error("ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.")
        assert same(ANY, wire("SLOWLOG HELP"))


def test_no_slow_log(server_with: ServerWith) -> None:
    server = server_with(slow_log_threshold=-1)
    with server.connect() as wire:
        assert wire("SLOWLOG RESET") == OK
        wire("KEYS *")
        assert wire("SLOWLOG LEN") == 0
        assert wire("SLOWLOG GET") == []


def test_latency(wire: Wire) -> None:
    assert wire("LATENCY RESET") in range(100)
    assert wire("LATENCY LATEST") == []
    assert wire("LATENCY HISTORY command") == []
    assert same(Matching("(?s)(txt:)?.*"), wire("LATENCY DOCTOR"))
    assert same(ANY, wire("LATENCY HELP"))
    wire("SET k v")
    histogram = as_dict(wire("LATENCY HISTOGRAM set"))
    described = as_dict(histogram[b"set"])
    assert described[b"calls"] >= 1
    buckets = as_dict(described[b"histogram_usec"])
    assert max(buckets.values()) == described[b"calls"]
    assert wire("LATENCY NOSUCH") == error("ERR unknown subcommand 'NOSUCH'. Try LATENCY HELP.")


# -- COMMAND ----------------------------------------------------------------------------------------------------------


def test_command_count_info_docs(wire: Wire) -> None:
    count = wire("COMMAND COUNT")
    assert count > 70
    listed = wire("COMMAND")
    assert len(listed) == count
    names = {one[0] for one in listed}
    assert {b"get", b"set", b"mget", b"exec", b"scan", b"expire", b"client", b"config"} <= names
    get, missing = wire("COMMAND INFO get nosuch")
    assert get[:2] == [b"get", 2]
    assert {Simple("readonly"), Simple("fast")} <= set(get[2])
    assert get[3:6] == [1, 1, 1]
    assert missing is None or repr(missing) == "NO_LIST"
    assert wire("COMMAND INFO mset")[0][3:6] == [1, -1, 2]
    assert wire("COMMAND INFO set")[0][1] == -3
    docs = as_dict(wire("COMMAND DOCS get"))
    assert b"summary" in as_dict(docs[b"get"])
    assert wire("COMMAND DOCS nosuch") in ([], {})
    assert b"get" in wire("COMMAND LIST")
    assert wire("COMMAND GETKEYS MSET a 1 b 2") == [b"a", b"b"]
    assert wire("COMMAND NOSUCH") == error("ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.")


def test_every_command_that_is_listed_checks_its_arity(connect: Connect) -> None:
    """With one argument too few, each says so in Redis's words and does nothing."""
    wire = connect()
    for name, arity_of, *_ in wire("COMMAND"):
        if abs(arity_of) > 1:
            reply = wire(*[name] * (abs(arity_of) - 1)) if abs(arity_of) > 2 else wire(name.decode())
            text = name.decode()
            assert reply == error(f"ERR wrong number of arguments for '{text}' command"), name
    assert wire("DBSIZE") == 0


# -- scripts, memory, saving ------------------------------------------------------------------------------------------


def test_unknown_scripts(wire: Wire) -> None:
    unknown = error("NOSCRIPT No matching script. Please use EVAL.")
    assert wire("EVALSHA", "f" * 40, 0) == unknown
    assert wire("EVALSHA", "f" * 40, 1, "k", "v") == unknown
    assert wire("EVALSHA", "short", 0) == unknown
    assert wire("SCRIPT", "EXISTS", "f" * 40) == [0]
    assert wire("EVALSHA", "f" * 40) == arity("evalsha")


def test_memory(wire: Wire) -> None:
    stats = as_dict(wire("MEMORY STATS"))
    assert stats[b"total.allocated"] > 0
    assert stats[b"keys.count"] == 0
    assert same(Matching("(?s).+"), wire("MEMORY DOCTOR"))
    assert wire("MEMORY PURGE") == OK
    assert same(ANY, wire("MEMORY HELP"))


def test_last_save_is_a_time(wire: Wire) -> None:
    assert same(Between(0, int(time.time()) + 1), wire("LASTSAVE"))


@pytest.mark.ours
def test_without_a_snapshot_path_saving_is_refused(wire: Wire) -> None:
    for command in ("SAVE", "BGSAVE"):
        assert isinstance(wire(command), ReplyError)
    assert wire("SHUTDOWN BOGUS") == error("ERR syntax error")


def test_the_application_shares_the_store(server: Target, wire: Wire) -> None:
    """What one writes the other reads, and counts."""
    if server.byte_map is None:
        pytest.skip("not in this process")
    m = server.byte_map
    m[b"from python"] = b"1"
    assert wire("GET", "from python") == b"1"
    assert wire("INCR", "from python") == 2
    assert m.add(b"from python", 40) == 42
    assert wire("SET", "from wire", "x", "EX", 100) == OK
    assert m[b"from wire"] == b"x"
    assert 99 <= m.ttl(b"from wire") <= 100
    assert len(m) == wire("DBSIZE") == 2
    m.clear()
    assert wire("DBSIZE") == 0


def test_the_application_breaks_a_watch(server: Target, wire: Wire) -> None:
    if server.byte_map is None:
        pytest.skip("not in this process")
    m = server.byte_map
    for method, *words in (
        ("__setitem__", b"k", b"2"),
        ("set", b"k", b"1"),
        ("add", b"k", 1),
        ("pop", b"k"),
        ("clear",),
        ("expire", b"k", 50),
        ("swap", b"k", b"2"),
        ("update", {b"k": b"2"}),
    ):
        m[b"k"] = b"1"
        assert wire.pipeline(["WATCH k", "MULTI"]) == [OK, OK]
        getattr(m, method)(*words)
        assert same(NO_LIST, wire.pipeline(["SET done 1", "EXEC"])[1]), method
        assert wire("EXISTS done") == 0
