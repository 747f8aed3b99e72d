"""The command ``shardmap``: options, what it prints, exit codes, signals, and files to and from a server that runs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import targets
from click.testing import CliRunner, Result
from support import run_python
from wire import OK, Wire

import shardmap
from shardmap import ByteMap, Server, open_snapshot
from shardmap.service.bench import Plan, percentile
from shardmap.service.cli import main
from shardmap.service.client import Client, ReplyError, encode
from shardmap.service.settings import SETTINGS

pytestmark = pytest.mark.ours

PACKAGE = str(Path(shardmap.__file__).parents[1])


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMAP_")}
    path = os.pathsep.join(filter(None, [PACKAGE, os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **variables}


def shell(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``python -m shardmap``, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "shardmap", *arguments],
        env=environment(**variables), capture_output=True, text=True, timeout=60, cwd="/",
    )  # fmt: skip


def command(*arguments: str) -> Result:
    """The same within this process, which is faster."""
    return CliRunner().invoke(main, arguments, prog_name="shardmap", catch_exceptions=False)


@contextmanager
def serving(*arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``shardmap serve``, and what it has printed when it listens."""
    started = subprocess.Popen(
        [sys.executable, "-m", "shardmap", "serve", "--threads", "1", *arguments],
        env=environment(**variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd="/",
    )  # fmt: skip
    try:
        assert started.stdout is not None
        lines = []
        for line in started.stdout:
            lines.append(line.rstrip("\n"))
            if "stop:" in line:
                break
        else:
            pytest.fail(f"it did not start: {started.stderr.read() if started.stderr else ''}")
        yield started, lines
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(port=0, threads=1) as one:
        yield one


@pytest.fixture
def at(server: Server) -> list[str]:
    """The options that lead to an empty server."""
    server.byte_map.clear()
    return ["--port", str(server.port)]


# -- help -------------------------------------------------------------------------------------------------------------


def test_help_names_the_commands() -> None:
    done = command("--help")
    assert done.exit_code == 0
    for name in ("serve", "top", "bench", "dump", "load", "info", "_SHARDMAP_COMPLETE=bash_source"):
        assert name in done.output
    assert command("-h").output == done.output
    assert command().exit_code in (0, 2)


def test_help_has_the_variable_beside_each_option() -> None:
    text = " ".join(command("serve", "--help").output.split())
    for setting in SETTINGS.values():
        assert re.search(rf"{setting.option} .*?\[{setting.variable}; default: [^\]]+\]", text), setting.name
    assert "--password-file FILE" in text
    assert "SHARDMAP_PASSWORD_FILE" in text


@pytest.mark.parametrize("name", ["top", "bench", "dump", "load", "info"])
def test_help_of_clients(name: str) -> None:
    text = " ".join(command(name, "--help").output.split())
    for part in ("--host", "SHARDMAP_PORT; default: 7379", "SHARDMAP_UNIX_SOCKET", "SHARDMAP_PASSWORD"):
        assert part in text


def test_the_version() -> None:
    done = shell("--version")
    assert (done.returncode, done.stdout) == (0, f"shardmap, version {shardmap.__version__}\n")


def test_completion() -> None:
    done = shell(_SHARDMAP_COMPLETE="bash_source")
    assert done.returncode == 0
    assert "complete -o nosort -F" in done.stdout
    done = shell(_SHARDMAP_COMPLETE="bash_complete", COMP_WORDS="shardmap serve --max-", COMP_CWORD="2")
    assert {line.partition(",")[2] for line in done.stdout.split()} >= {"--max-memory", "--max-clients"}


@pytest.mark.parametrize(
    "arguments", [["nosuch"], ["serve", "--nosuch"], ["bench", "--clients", "0"], ["bench", "--ratio", "2"], ["dump"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.exit_code == 2
    assert "Usage:" in done.output


def test_without_the_extra() -> None:
    code = """
import sys
sys.modules["click"] = None
from shardmap.__main__ import main
main()
"""
    done = run_python(code)
    assert done.returncode == 1
    assert done.stderr == "shardmap: the command line needs click and others: pip install 'shardmap[service]'\n"
    done = run_python("import sys; sys.modules['rich'] = None; from shardmap.__main__ import main; main()", "top")
    assert done.returncode == 1
    assert "pip install 'shardmap[service]'" in done.stderr


def test_importing_shardmap_imports_none_of_it() -> None:
    code = """
import sys, shardmap
heavy = {"click", "rich", "prometheus_client", "http.server", "shardmap.service"}
print(sorted(heavy & set(sys.modules)))
assert shardmap.Server is shardmap.Server
print(sorted({"click", "rich", "prometheus_client"} & set(sys.modules)))
"""
    done = run_python(code)
    assert (done.stdout, done.returncode) == ("[]\n[]\n", 0)


# -- serve ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "variables", "parts"),
    [
        (["--port", "x"], {}, ["--port='x'", "allowed is a port"]),
        ([], {"SHARDMAP_PORT": "99999"}, ["SHARDMAP_PORT='99999'", "allowed is a port"]),
        (["--max-memory", "1"], {}, ["--max-memory='1'", "allowed is 0 (no bound)"]),
        (["--eviction", "lru"], {}, ["--eviction='lru'", "allkeys-lru"]),
        (["--bind", "0.0.0.0"], {}, ["0.0.0.0", "without a password", "SHARDMAP_PASSWORD"]),
        (["--password", "a", "--password-file", "/dev/null"], {}, ["both given"]),
        (["--password-file", "/nonexistent"], {}, ["--password-file='/nonexistent'", "No such file"]),
        (["--bind", "nosuch.invalid"], {}, ["nosuch.invalid"]),
    ],
)
def test_a_bad_setting_ends_with_2(arguments: list[str], variables: dict[str, str], parts: list[str]) -> None:
    done = shell("serve", "--port", "0", *arguments, **variables) if not variables else shell("serve", **variables)
    assert done.returncode == 2
    assert done.stderr.startswith("shardmap: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_a_port_in_use_ends_with_1(server: Server) -> None:
    done = shell("serve", "--port", str(server.port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"shardmap: 127.0.0.1 port {server.port}: another program listens there; stop it or choose another port "
        "(SHARDMAP_PORT)\n"
    )


def test_a_damaged_snapshot_ends_with_1_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    ByteMap({b"%d" % number: b"v" * 100 for number in range(1000)}).dump(path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    done = shell("serve", "--port", "0", "--snapshot-path", str(path))
    assert done.returncode == 1
    assert f"shardmap: {path}: at byte " in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    snapshot, unix_socket, page = tmp_path / "s.snap", tmp_path / "s.sock", targets.free_port()
    options = [
        "--port",
        "0",
        "--unix-socket",
        str(unix_socket),
        "--http-port",
        str(page),
        "--snapshot-path",
        str(snapshot),
    ]
    with serving(*options) as (started, lines):
        match = re.fullmatch(r"shardmap listens on 127\.0\.0\.1:(\d+)", lines[0])
        assert match
        port = int(match[1])
        assert lines[1] == f"shardmap listens on {unix_socket}"
        assert lines[2].split() == ["connect:", "redis-cli", "-p", str(port)]
        assert lines[3].split() == ["page:", f"http://127.0.0.1:{page}/"]
        with Wire(("127.0.0.1", port)) as wire:
            assert wire("SET", "key", "value") == OK
            started.send_signal(number)
            output, errors = started.communicate(timeout=30)
        assert started.returncode == 0
        assert "Traceback" not in output + errors
    assert not unix_socket.exists()
    with open_snapshot(snapshot) as entries:
        assert dict(entries) == {b"key": b"value"}
    with serving(*options) as (_, lines), Client("", 0, unix_socket=str(unix_socket)) as client:
        assert client.call("GET", "key") == b"value"


def test_a_signal_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    ByteMap({b"%d" % number: b"v" * 100 for number in range(100_000)}).dump(path)
    for wait in (0.15, 0.3, 0.6):
        started = subprocess.Popen(
            [sys.executable, "-m", "shardmap", "serve", "--port", "0", "--snapshot-path", str(path)],
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(wait)
        started.send_signal(signal.SIGTERM)
        _, errors = started.communicate(timeout=30)
        # Before Python runs our code at all the signal simply ends it.
        assert started.returncode in (0, -signal.SIGTERM), errors
        assert "Traceback" not in errors
    with open_snapshot(path) as entries:
        assert len(entries) == 100_000


def test_shutdown_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    with serving("--port", "0", "--snapshot-path", str(path)) as (started, lines):
        with Wire(("127.0.0.1", int(lines[0].rpartition(":")[2]))) as wire:
            wire("SET", "a", "1")
            with contextlib.suppress(Exception):
                wire("SHUTDOWN", "NOSAVE")
        started.communicate(timeout=30)
        assert started.returncode == 0
    assert not path.exists()


def test_a_final_snapshot_that_fails_ends_with_1(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with serving("--port", "0", "--snapshot-path", str(folder / "s.snap")) as (started, _):
        folder.rmdir()
        started.send_signal(signal.SIGTERM)
        _, errors = started.communicate(timeout=30)
        assert started.returncode == 1
        assert "No such file or directory" in errors
        assert "Traceback" not in errors


def test_the_password_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("geheim\n")
    with serving("--port", "0", "--password-file", str(file)) as (_, lines):
        port = lines[0].rpartition(":")[2]
        assert lines[1].split()[-1] == "--askpass"
        assert "geheim" not in "".join(lines)
        assert command("info", "--port", port).exit_code == 1
        assert "redis_version" in command("info", "--port", port, "--password", "geheim").output
        assert "redis_version" in command("info", "--port", port, "--password-file", str(file)).output


def test_quiet() -> None:
    port = targets.free_port()
    started = subprocess.Popen(
        [sys.executable, "-m", "shardmap", "serve", "-q", "--port", str(port)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    targets.wait_until_up(targets.Target(port, "shardmap"), started)  # type: ignore[arg-type]
    started.terminate()
    assert started.communicate(timeout=30) == ("", "")
    assert started.returncode == 0


# -- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["info", "top", "bench"])
def test_no_server_ends_with_1(name: str) -> None:
    done = command(name, "--port", str(targets.free_port()))
    assert done.exit_code == 1
    assert "does not answer: Connection refused" in done.output


def test_something_else_that_answers() -> None:
    import socket
    import threading

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        done = command("info", "--port", str(other.getsockname()[1]))
        thread.join()
    assert done.exit_code == 1
    assert "does not speak the Redis protocol" in done.output


def test_info_of_a_server(server: Server, at: list[str]) -> None:
    done = command("info", *at)
    assert done.exit_code == 0
    assert "# Server\nredis_version:7.2.4\n" in done.output
    assert f"tcp_port:{server.port}\n" in done.output
    assert "# Stats" in done.output
    done = command("info", *at, "-s", "cpu", "-s", "keyspace")
    assert "used_cpu_sys" in done.output
    assert "redis_version" not in done.output


def test_dump_and_load(server: Server, at: list[str], tmp_path: Path) -> None:
    path = str(tmp_path / "d.snap")
    entries = {b"key:%d" % number: os.urandom(number % 300) for number in range(2000)}
    server.byte_map.update(entries)
    server.byte_map.set(b"\0\xff\r\n", b"binary\r\n", ttl=1000)
    server.byte_map.set(b"soon", b"gone", ttl=0.05)
    time.sleep(0.1)
    done = command("dump", *at, path)
    assert (done.exit_code, done.output) == (0, f"2,001 entries to {path}\n")
    with open_snapshot(path) as snapshot:
        assert dict(snapshot) == {**entries, b"\0\xff\r\n": b"binary\r\n"}

    described = command("info", path)
    assert described.exit_code == 0
    for part in ("entries: 2001\n", "checksums: all right\n", "created: 20"):
        assert part in described.output

    server.byte_map.clear()
    server.byte_map[b"key:5"] = b"mine"
    done = command("load", *at, "--keep", path)
    assert (done.exit_code, done.output) == (0, f"2,000 entries from {path}, 1 were there\n")
    assert server.byte_map[b"key:5"] == b"mine"
    assert command("load", *at, path).output == f"2,001 entries from {path}\n"
    assert server.byte_map.snapshot() == {**entries, b"\0\xff\r\n": b"binary\r\n"}
    left = server.byte_map.ttl(b"\0\xff\r\n")
    assert left is not None
    assert 900 < left <= 1000
    assert server.byte_map.ttl(b"key:1") is None


def test_dump_of_nothing(at: list[str], tmp_path: Path) -> None:
    path = tmp_path / "d.snap"
    assert command("dump", *at, str(path)).exit_code == 0
    with open_snapshot(path) as snapshot:
        assert len(snapshot) == 0
    assert command("load", *at, str(path)).output.startswith("0 entries")


def test_files_that_are_none(at: list[str], tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish"
    rubbish.write_bytes(b"rubbish" * 100)
    for arguments in (["info", str(rubbish)], ["load", *at, str(rubbish)]):
        done = command(*arguments)
        assert done.exit_code == 1
        assert f"{rubbish}: at byte " in done.output
    assert command("info", str(tmp_path / "absent")).exit_code == 2
    done = command("dump", *at, str(tmp_path / "absent" / "file"))
    assert done.exit_code == 1
    assert "No such file or directory" in done.output


def test_a_load_that_the_server_refuses(tmp_path: Path) -> None:
    path = tmp_path / "big.snap"
    ByteMap({b"%d" % number: b"v" * 10_000 for number in range(500)}).dump(path)
    with Server(port=0, threads=1, max_memory="1mb", shards=1) as small:
        done = command("load", "--port", str(small.port), str(path))
        assert done.exit_code == 1
        assert "OOM" in done.output


def test_bench(server: Server, at: list[str]) -> None:
    done = command("bench", *at, "-n", "2000", "-c", "5", "-P", "4", "-r", "100", "-d", "10", "--ratio", "0.5")
    assert done.exit_code == 0
    assert re.search(r"^2,000 requests in \d+\.\d\d s, 5 clients, 4 in a pipeline$", done.output, re.MULTILINE)
    assert re.search(r"^[\d,]+ operations a second$", done.output, re.MULTILINE)
    assert re.search(r"p50 \d+\.\d{3} ms, p99 \d+\.\d{3} ms, p99\.9 \d+\.\d{3} ms$", done.output, re.MULTILINE)
    assert 0 < len(server.byte_map) <= 100
    assert all(re.fullmatch(rb"key:\d{12}", key) and len(value) == 10 for key, value in server.byte_map.items())


def test_bench_counts_errors() -> None:
    with Server(port=0, threads=1, max_memory="256kb", shards=1) as small:
        done = command("bench", "--port", str(small.port), "-n", "2000", "--ratio", "0", "-d", "1000")
        assert done.exit_code == 1
        assert "error replies, the first: OOM" in done.output


def test_top(at: list[str]) -> None:
    done = command("top", *at, "--count", "2", "--interval", "0.1")
    assert done.exit_code == 0
    for part in ("operations/s", "hit ratio", "entries", "memory", "clients", "network", "info", f"127.0.0.1:{at[1]}"):
        assert part in done.output


def test_percentiles_of_times() -> None:
    times = [float(number) for number in range(1, 1001)]
    assert [percentile(times, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500.0, 990.0, 999.0, 1000.0]
    assert percentile([], 0.5) == 0
    assert Plan().pipeline == 16


# -- the small client -------------------------------------------------------------------------------------------------


def read(data: bytes) -> Any:
    client = Client.__new__(Client)
    client.where = "here"
    client._file = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    return client.read()


def test_replies() -> None:
    assert read(b"+OK\r\n") == b"OK"
    assert read(b":-5\r\n") == -5
    assert read(b"$3\r\na\r\n\r\n") == b"a\r\n"
    assert read(b"$0\r\n\r\n") == b""
    assert read(b"$-1\r\n") is None
    assert read(b"*-1\r\n") is None
    assert read(b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n") == [[1], b"x"]
    error = read(b"-ERR no\r\n")
    assert isinstance(error, ReplyError)
    assert str(error) == "ERR no"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"+OK",
        b"$5\r\nab",
        b"HTTP/1.1 400\r\n",
        b"$x\r\n",
        b"$-2\r\n",
        b"*1\r\n" * 100,
        b"$99999999999999\r\nx",
        b"!3\r\n",
    ],
)
def test_replies_that_are_none(data: bytes) -> None:
    with pytest.raises(ConnectionError):
        read(data)


def test_encoding() -> None:
    assert encode("SET", b"\xff\r\n", 5, "ü") == b"*4\r\n$3\r\nSET\r\n$3\r\n\xff\r\n\r\n$1\r\n5\r\n$2\r\n\xc3\xbc\r\n"
