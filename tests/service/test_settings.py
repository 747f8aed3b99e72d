"""Settings of the service: what beats what, what is allowed, what the errors say, and which may change."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from shardmap import ByteMap, ConfigError, Server, config
from shardmap.service import listeners
from shardmap.service.kinds import Secret
from shardmap.service.parameters import BY_PARAMETER, FIXED, parameters
from shardmap.service.settings import SETTINGS, Options, Settings, processors

pytestmark = pytest.mark.ours

#: Of each setting: how it may be written, what that means, and what is not allowed.
CASES: dict[str, tuple[list[tuple[str, Any]], list[str]]] = {
    "bind": (
        [("127.0.0.1", ("127.0.0.1",)), ("127.0.0.1, ::1", ("127.0.0.1", "::1")), (" a  a b ", ("a", "b")), ("", ())],
        ["a/b", "a\0b"],
    ),
    "port": (
        [("0", 0), ("65535", 65535), (" 80 ", 80), ("0x10", 16)],
        ["-1", "65536", "", "x", "1.0", "9" * 5000, "½"],
    ),
    "unix_socket": ([("/tmp/x.sock", "/tmp/x.sock"), ("", "")], ["a\0b"]),
    "unix_socket_mode": ([("600", 0o600), ("0o770", 0o770), ("0", 0)], ["8", "1000", "-1", "x", ""]),
    "http_port": ([("0", 0), ("9121", 9121)], ["-1", "65536", "on"]),
    "http_hosts": ([("a.example,b", ("a.example", "b")), ("", ())], ["a/b"]),
    "threads": ([("1", 1), ("64", 64)], ["0", "-1", "1025", "two"]),
    "password": (
        [("s3cret", "s3cret"), ("", ""), ("ü ö", "ü ö"), ("p" * 512, "p" * 512)],
        ["p" * 513, "ü" * 257, "a\0"],
    ),
    "snapshot_path": ([("/tmp/x", "/tmp/x"), ("", "")], ["a\0b"]),
    "snapshot_interval": ([("0", 0.0), ("1.5", 1.5), ("3600", 3600.0)], ["-1", "nan", "inf", "x", "", "1e99"]),
    "max_memory": (
        [("0", 0), ("64kb", 65536), ("1gb", 1 << 30), ("2G", 2 * 10**9)],
        ["1", "-1", "x", "1 gb x", "9" * 30],
    ),
    "eviction": ([("allkeys-lru", "allkeys-lru"), (" NoEviction ", "noeviction")], ["lru", ""]),
    "gc_interval": ([("0", 0.0), ("0.5", 0.5)], ["-1", "nan", "x"]),
    "shards": ([("1", 1), ("64", 64), ("65536", 65536)], ["0", "3", "131072", "-4", "x"]),
    "hash_seed": ([("0", 0), ("0xff", 255), (str(2**64 - 1), 2**64 - 1)], ["-1", str(2**64), "x"]),
    "max_clients": ([("1", 1), ("10000", 10_000)], ["0", "-1", "1000001", "x"]),
    "max_bulk": ([("1", 1), ("512mb", 512 << 20), ("2147483647", 2**31 - 1)], ["0", "2gb", "-1", "x"]),
    "max_arguments": ([("1", 1), ("1048576", 1 << 20)], ["0", "x"]),
    "max_query": ([("1kb", 1024), ("1gb", 1 << 30)], ["0", "1", "x"]),
    "max_output": ([("1kb", 1024), ("1gb", 1 << 30)], ["0", "1", "x"]),
    "idle_timeout": ([("0", 0.0), ("300", 300.0)], ["-1", "x"]),
    "request_timeout": ([("0", 0.0), ("0.25", 0.25)], ["-1", "x"]),
    "slow_log_threshold": ([("-1", -1), ("0", 0), ("10000", 10_000)], ["-2", "x", "1.5"]),
    "slow_log_length": ([("0", 0), ("128", 128)], ["-1", "x"]),
    "latency_threshold": ([("0", 0), ("100", 100)], ["-1", "x"]),
}
GOOD = [(name, text, value) for name, (good, _) in CASES.items() for text, value in good]
BAD = [(name, text) for name, (_, bad) in CASES.items() for text in bad]


def resolve(environment: dict[str, str] | None = None, **arguments: Any) -> Settings:
    return Settings.resolve(arguments, environment or {})


def variable(name: str) -> str:
    return "SHARDMAP_" + name.upper()


def test_every_setting_has_its_cases_and_its_argument() -> None:
    assert set(CASES) == set(SETTINGS) == set(Options.__annotations__)


def test_the_defaults() -> None:
    defaults = resolve()
    for name in SETTINGS:
        assert getattr(defaults, name) == SETTINGS[name].default_value()
    assert defaults.bind == ("127.0.0.1",)
    assert defaults.port == 7379
    assert defaults.threads == processors() >= 1
    assert (defaults.http_port, defaults.password, defaults.snapshot_path, defaults.max_memory) == (0, "", "", 0)
    assert (defaults.max_clients, defaults.max_bulk, defaults.max_arguments) == (10_000, 512 << 20, 1 << 20)
    assert (defaults.idle_timeout, defaults.request_timeout) == (0, 30)
    assert (defaults.slow_log_threshold, defaults.slow_log_length, defaults.latency_threshold) == (10_000, 128, 0)


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_what_is_allowed(name: str, text: str, value: Any) -> None:
    settings = resolve({variable(name): text})
    assert getattr(settings, name) == value
    # An argument of Python may be the value itself, and CONFIG GET shows what can be read back.
    assert getattr(resolve(**{name: value}), name) == value
    kind = SETTINGS[name].kind
    if not isinstance(kind, Secret):
        assert kind.parse(kind.text(value)) == value


@pytest.mark.parametrize(("name", "text"), BAD)
def test_what_is_not_allowed(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({variable(name): text})
    message = str(caught.value)
    assert message.startswith(f"{variable(name)}=")
    assert "allowed is" in message
    assert len(message) < 400
    assert ("(not shown)" if name == "password" else repr(text)[:90]) in message


@pytest.mark.parametrize("name", sorted(CASES))
def test_arguments_of_the_wrong_type(name: str) -> None:
    for bad in (object(), 1.5j, [1], {}):
        with pytest.raises(TypeError, match=name):
            resolve(**{name: bad})


def test_an_argument_beats_the_environment() -> None:
    environment = {"SHARDMAP_PORT": "1000", "SHARDMAP_MAX_MEMORY": "1gb", "SHARDMAP_BIND": "::1"}
    assert resolve(environment).port == 1000
    assert resolve(environment, port=2000).port == 2000
    assert resolve(environment, port=None).port == 1000
    assert resolve(environment, max_memory="2gb").max_memory == 2 << 30
    assert resolve({"SHARDMAP_PORT": "x"}, port=3).port == 3
    assert resolve(environment, bind=["127.0.0.1", "::1"]).bind == ("127.0.0.1", "::1")


def test_an_unknown_argument_is_named() -> None:
    with pytest.raises(TypeError, match="prot"):
        resolve(prot=1)
    with pytest.raises(TypeError, match="prot"):
        Server(prot=1)  # type: ignore[call-arg]


def test_the_password_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("geheim\nnot this\n")
    assert resolve({"SHARDMAP_PASSWORD_FILE": str(file)}).password == "geheim"
    assert resolve({"SHARDMAP_PASSWORD_FILE": str(file)}, password="other").password == "other"
    with pytest.raises(ConfigError, match="both set"):
        resolve({"SHARDMAP_PASSWORD_FILE": str(file), "SHARDMAP_PASSWORD": "x"})
    file.write_text("\n")
    for path in (file, tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigError, match="SHARDMAP_PASSWORD_FILE=") as caught:
            resolve({"SHARDMAP_PASSWORD_FILE": str(path)})
        assert str(path) in str(caught.value)


def test_settings_do_not_change_and_hide_the_password() -> None:
    settings = resolve()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.port = 1  # type: ignore[misc]
    assert settings.replace({"port": 1}).port == 1
    assert settings.port == 7379
    assert parameters(settings.replace({"password": "geheim"}))["requirepass"] == Secret.HIDDEN


def test_the_environment_counts_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_PORT", "1234")
    assert Server().settings.port == 1234
    monkeypatch.setenv("SHARDMAP_PORT", "port")
    with pytest.raises(ConfigError, match="SHARDMAP_PORT='port'"):
        Server()
    assert Server(port=0).settings.port == 0


# -- CONFIG's names ---------------------------------------------------------------------------------------------------


def test_parameters_have_redis_names() -> None:
    shown = parameters(resolve(snapshot_path="/tmp/dir/file.snap", snapshot_interval=60, max_memory="1mb"))
    assert shown["maxmemory"] == "1048576"
    assert shown["maxmemory-policy"] == "noeviction"
    assert (shown["dir"], shown["dbfilename"], shown["save"]) == ("/tmp/dir", "file.snap", "60 1")
    assert (shown["timeout"], shown["maxclients"], shown["proto-max-bulk-len"]) == ("0", "10000", str(512 << 20))
    assert shown["appendonly"] == "no"
    assert shown["snapshot-interval"] == "60"
    assert parameters(resolve())["save"] == ""
    assert not set(FIXED) & set(BY_PARAMETER)
    assert {SETTINGS[name].parameter for name in SETTINGS} <= set(shown)


# -- of a map that is there -------------------------------------------------------------------------------------------


def test_a_map_keeps_its_options() -> None:
    byte_map = ByteMap(max_memory="10mb", eviction="allkeys-lru", shards=4)
    settings = Server(byte_map).settings
    assert (settings.max_memory, settings.eviction, settings.shards) == (10 << 20, "allkeys-lru", 4)
    assert Server(byte_map, max_memory="20mb").settings.max_memory == 20 << 20
    assert byte_map.memory().max_memory == 20 << 20
    for name in ("shards", "hash_seed"):
        with pytest.raises(ConfigError, match=name):
            Server(byte_map, **{name: 4})  # type: ignore[misc]


def test_the_server_makes_a_map_of_its_settings() -> None:
    server = Server(max_memory="10mb", eviction="volatile-ttl", shards=8)
    assert server.byte_map.memory().max_memory == 10 << 20
    assert server.byte_map._shards == 8
    assert config.EVICTION_POLICIES[server.byte_map._policy] == "volatile-ttl"


def test_the_interval_of_sweeps_is_the_servers_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_GC_INTERVAL", "77")
    with Server(port=0, threads=1, gc_interval=5):
        assert config.gc_interval() == 5
    assert config.gc_interval() == 77
    with Server(port=0, threads=1) as server:
        assert (config.gc_interval(), server.settings.gc_interval) == (77, 77)


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["0.0.0.0", "*", "127.0.0.1 0.0.0.0", "::", "192.0.2.1"])
def test_a_public_address_needs_a_password(bind: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Server(bind=bind, port=0).start()
    for part in ("bind=", "without a password", "SHARDMAP_PASSWORD", "127.0.0.1"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_loopback(address: str, loopback: bool) -> None:
    assert listeners.is_loopback(address) is loopback


def test_a_public_address_with_a_password() -> None:
    with Server(bind="0.0.0.0", port=0, threads=1, password="x") as server:
        assert server.addresses == [f"0.0.0.0:{server.port}"]


def test_several_addresses_share_a_port() -> None:
    with Server(bind="127.0.0.1 127.0.0.2", port=0, threads=1) as server:
        assert server.addresses == [f"127.0.0.1:{server.port}", f"127.0.0.2:{server.port}"]
        assert server.address == server.addresses[0]


def test_names_that_are_none() -> None:
    with pytest.raises(ConfigError, match=r"bind='nosuch\.invalid'"):
        Server(bind="nosuch.invalid", port=0).start()
    with pytest.raises(ConfigError, match="at least one"):
        Server(bind="", port=0).start()


def test_a_port_in_use() -> None:
    with Server(port=0, threads=1) as first:
        second = Server(port=first.port, threads=1)
        with pytest.raises(OSError, match=f"port {first.port}: another program listens there.*SHARDMAP_PORT"):
            second.start()
        assert not second.running
        assert first.running
    with second:
        assert second.port == second.settings.port


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with Server(bind="", unix_socket=path, threads=1) as server:
        assert server.addresses == [str(path)]
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(RuntimeError, match="no TCP port"):
            _ = server.port
        with pytest.raises(OSError, match="another program listens there"):
            Server(bind="", unix_socket=path, threads=1).start()
        assert path.exists()
    assert not path.exists()
    with Server(bind="", unix_socket=path, unix_socket_mode=0o666, threads=1):
        assert path.stat().st_mode & 0o777 == 0o666


def test_a_stale_unix_socket_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    left = listeners.Listeners([], 0, str(path))
    left._made = None
    left.close()
    assert path.exists(), "as a killed server leaves it"
    with Server(bind="", unix_socket=path, threads=1):
        pass
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        Server(bind="", unix_socket=path, threads=1).start()
    assert path.read_text() == "precious"
    with pytest.raises(ConfigError, match="107 bytes"):
        Server(bind="", unix_socket=tmp_path / ("s" * 200), threads=1).start()


def test_the_file_of_another_server_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    first = Server(bind="", unix_socket=path, threads=1).start()
    os.unlink(path)
    with Server(bind="", unix_socket=path, threads=1):
        first.stop()
        assert path.exists()
