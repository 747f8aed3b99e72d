"""What the service answers over HTTP: the page, its numbers, metrics, health, and what it refuses."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import targets
from prometheus_client.parser import text_string_to_metric_families
from wire import Wire

from shardmap import ByteMap, ConfigError, Server
from shardmap.service import http as pages

pytestmark = pytest.mark.ours

Reply = tuple[int, dict[str, str], bytes]


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Reply:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()


@contextmanager
def running(**settings: Any) -> Iterator[tuple[Server, int]]:
    port = targets.free_port()
    with Server(**{"port": 0, "threads": 1, "http_port": port, **settings}) as server:
        yield server, port


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Server, int]]:
    with running() as (server, port):
        with Wire(("127.0.0.1", server.port)) as wire:
            wire.pipeline(("SET", f"k{number}", "v") for number in range(100))
            wire.pipeline(("GET", f"k{number}") for number in range(150))
            wire("NOSUCH")
        yield server, port


def test_it_is_off_unless_asked_for() -> None:
    with Server(port=0, threads=1) as server:
        assert server.http_addresses == []
        assert not any(thread.name == "shardmap-http" for thread in threading.enumerate())


def test_health(served: tuple[Server, int]) -> None:
    server, port = served
    assert server.http_addresses == [f"http://127.0.0.1:{port}/"]
    for path, text in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
        status, headers, body = ask(port, path)
        assert (status, body) == (200, text)
        assert headers["content-type"].startswith("text/plain")


def test_not_ready_while_loading(served: tuple[Server, int]) -> None:
    server, port = served
    assert server._running is not None
    server._running.state.loading = True
    try:
        assert ask(port, "/readyz")[0] == 503
        assert ask(port, "/healthz")[0] == 200
    finally:
        server._running.state.loading = False


# -- metrics ----------------------------------------------------------------------------------------------------------


def metrics(port: int) -> dict[str, dict[tuple[str, ...], float]]:
    status, headers, body = ask(port, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(body.decode()):
        assert family.documentation or family.name.startswith("process_"), family.name
        for each in family.samples:
            found.setdefault(each.name, {})[tuple(each.labels.values())] = each.value
    return found


def test_metrics(served: tuple[Server, int]) -> None:
    found = metrics(served[1])
    assert found["shardmap_commands_total"]["set",] == 100
    assert found["shardmap_commands_total"]["get",] == 150
    assert found["shardmap_hits_total"][()] >= 100
    assert found["shardmap_misses_total"][()] >= 50
    assert found["shardmap_entries"][()] == 100
    assert found["shardmap_errors_total"]["ERR",] >= 1
    assert found["shardmap_connections_total"][()] >= 1
    for kind in ("content", "used", "reserved", "tables", "free"):
        assert found["shardmap_memory_bytes"][kind,] >= 0
    for name in ("shardmap_memory_fragmentation_ratio", "shardmap_reclaim_backlog", "shardmap_expired_total"):
        assert () in found[name]
    assert found["shardmap_evicted_total"][()] == 0
    assert found["process_cpu_seconds_total"][()] > 0


def test_histograms_are_cumulative_and_complete(served: tuple[Server, int]) -> None:
    found = metrics(served[1])
    gets = {
        labels[1]: value
        for labels, value in found["shardmap_command_duration_seconds_bucket"].items()
        if labels[0] == "get"
    }
    assert list(gets)[-1] == "+Inf"
    assert gets["+Inf"] == found["shardmap_command_duration_seconds_count"]["get",] == 150
    assert list(gets.values()) == sorted(gets.values())
    limits = [float(limit) for limit in gets]
    assert limits == sorted(limits)
    assert limits[0] == 2.5e-7
    assert found["shardmap_command_duration_seconds_sum"]["get",] >= 0


def test_metrics_of_shards(served: tuple[Server, int]) -> None:
    server, port = served
    found = metrics(port)
    assert len(found["shardmap_shard_entries"]) == server.byte_map._shards
    assert sum(found["shardmap_shard_entries"].values()) == 100
    assert len(found["shardmap_shard_lock_contention_total"]) == server.byte_map._shards
    with running(shards=4096) as (_, other):
        assert len(metrics(other)["shardmap_shard_entries"]) == 256


def test_openmetrics_where_the_monitor_takes_it(served: tuple[Server, int]) -> None:
    status, headers, body = ask(served[1], "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_two_servers_of_one_process_keep_their_numbers_apart(served: tuple[Server, int]) -> None:
    with running(byte_map=None) as (server, port):
        server.byte_map[b"one"] = b"1"
        assert metrics(port)["shardmap_entries"][()] == 1
        assert metrics(served[1])["shardmap_entries"][()] == 100


# -- the page ---------------------------------------------------------------------------------------------------------


def test_state(served: tuple[Server, int]) -> None:
    server, port = served
    status, headers, body = ask(port, "/state.json")
    assert (status, headers["content-type"]) == (200, "application/json")
    state = json.loads(body)
    assert state["entries"] == sum(state["shards"]["entries"]) == 100
    assert state["shards"]["number"] == len(state["shards"]["lookups"]) == server.byte_map._shards
    assert {each["name"]: each["calls"] for each in state["commands"]}["get"] == 150
    assert state["addresses"] == [f"127.0.0.1:{server.port}"]
    assert state["loading"] is False
    assert state["statistics"]["commands"] >= 250


def test_the_history_grows(served: tuple[Server, int]) -> None:
    ends = time.monotonic() + 20
    while not (history := json.loads(ask(served[1], "/state.json")[2])["history"]):
        assert time.monotonic() < ends
        time.sleep(0.1)
    assert {"time", "commands", "hits", "misses", "memory", "clients"} <= set(history[-1])
    assert abs(history[-1]["time"] - time.time()) < 10


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(served: tuple[Server, int]) -> None:
    port = served[1]
    status, headers, body = ask(port, "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    page = body.decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"page.css", "page.js", "icon.svg"} <= set(links)
    for link in links:
        status, _, content = ask(port, "/" + link)
        assert (status, bool(content)) == (200, True)
        if link.endswith((".css", ".js")):
            assert b"http://" not in content
            assert b"https://" not in content
            assert b"@import" not in content
    assert not re.search(r"<style|\sstyle=|<script>|\son\w+=", page), "the policy forbids them"
    ids = set(re.findall(r'id="([^"]+)"', page))
    script = ask(port, "/page.js")[2].decode()
    assert set(re.findall(r'byId\("([^"]+)"\)', script)) <= ids


def test_every_file_of_the_page_is_there() -> None:
    folder = Path(pages.__file__).parent / "page"
    assert {name for name, _ in pages.FILES.values()} == {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    "path", ["/nosuch", "/../http.py", "/page/index.htm", "/%2e%2e/http.py", "/page.js/", "/state.json/x", "*"]
)
def test_paths_that_are_none(served: tuple[Server, int], path: str) -> None:
    assert ask(served[1], path)[0] == 404


def test_head_and_other_methods(served: tuple[Server, int]) -> None:
    status, headers, body = ask(served[1], "/state.json", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(served[1], "/", method)[0] == 501


# -- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "localhost", "LocalHost:9", "[::1]:7", "10.1.2.3:80", "localhost.", "[::1]"]
)
def test_names_of_this_server(served: tuple[Server, int], host: str) -> None:
    assert ask(served[1], "/", Host=host)[0] == 200
    assert ask(served[1], "/", Host=socket.gethostname())[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/state.json", "/metrics", "/healthz"])
def test_other_names_get_nothing(served: tuple[Server, int], host: str, path: str) -> None:
    status, _, body = ask(served[1], path, Host=host)
    assert status == 421
    assert len(body) < 100


def test_names_that_are_allowed() -> None:
    with running(http_hosts="cache.example, other") as (_, port):
        assert ask(port, "/", Host="cache.example:80")[0] == 200
        assert ask(port, "/", Host="OTHER")[0] == 200
        assert ask(port, "/", Host="another")[0] == 421


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_with_a_password() -> None:
    with running(password="geh:eim") as (server, port):
        for path in ("/", "/state.json", "/metrics", "/page.js"):
            status, headers, _ = ask(port, path)
            assert status == 401
            assert headers["www-authenticate"].startswith("Basic ")
            for wrong in (basic("x:"), basic("x:geh"), basic("geh:eim"), "Basic ???", "Bearer geh:eim", "Basic"):
                assert ask(port, path, Authorization=wrong)[0] == 401
            assert ask(port, path, Authorization=basic("anybody:geh:eim"))[0] == 200
            assert ask(port, path, Authorization=basic(":geh:eim"))[0] == 200
        for path in ("/healthz", "/readyz"):
            assert ask(port, path)[0] == 200
        with Wire(("127.0.0.1", server.port)) as wire:
            wire("AUTH", "geh:eim")
            wire("CONFIG", "SET", "requirepass", "new")
        assert ask(port, "/", Authorization=basic("x:new"))[0] == 200
        assert ask(port, "/", Authorization=basic("x:geh:eim"))[0] == 401


def test_no_secrets(served: tuple[Server, int]) -> None:
    with running(password="geheim", slow_log_threshold=0) as (server, port):
        with Wire(("127.0.0.1", server.port)) as wire:
            wire("AUTH", "geheim")
            wire("SET", "confidential-key", "confidential-value")
        for path in ("/", "/state.json", "/metrics"):
            body = ask(port, path, Authorization=basic("x:geheim"))[2]
            assert b"geheim" not in body
            assert b"confidential" not in body


# -- being stopped, and being in the way -------------------------------------------------------------------------------


def test_a_port_that_is_taken_stops_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Server(port=0, threads=1, http_port=port)
        with pytest.raises(OSError, match=f"port {port}.*SHARDMAP_HTTP_PORT"):
            server.start()
        assert not server.running
    with server:
        assert ask(port, "/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/healthz")


def test_idle_connections_do_not_hold_up_the_others_or_the_end() -> None:
    with running() as (_, port):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(pages.MOST_CONNECTIONS - 4)]
        try:
            assert ask(port, "/healthz")[0] == 200
            began = time.monotonic()
        finally:
            for each in idle:
                each.close()
    assert time.monotonic() - began < 8


def test_connections_are_limited() -> None:
    with running() as (_, port):
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(pages.MOST_CONNECTIONS)]
        try:
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                ask(port, "/healthz")
        finally:
            for each in idle:
                each.close()


def test_rubbish_is_refused(served: tuple[Server, int]) -> None:
    for rubbish in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", served[1]), timeout=30) as raw:
            raw.sendall(rubbish)
            reply = raw.recv(100)
            assert not reply or reply.startswith(b"HTTP/1.1 ") or b"Error" in reply
    assert ask(served[1], "/healthz")[0] == 200


def test_without_prometheus_client(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "shardmap.service.metrics", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'shardmap\[service\]'"):
        Server(ByteMap(), port=0, threads=1, http_port=targets.free_port()).start()
