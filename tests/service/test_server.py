"""Server: its life, the application beside it, snapshots at the start, meanwhile and at the end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import run_python, run_python_ok
from wire import OK, Closed, ReplyError, Wire

from shardmap import ByteMap, Server, SnapshotError, open_snapshot
from shardmap.service.snapshots import NoSnapshotPathError, SaveInProgressError, Snapshots

pytestmark = pytest.mark.ours


def connect(server: Server) -> Wire:
    return Wire(("127.0.0.1", server.port))


def info(wire: Wire) -> dict[str, str]:
    return dict(line.split(":", 1) for line in wire("INFO", "all").decode().split("\r\n") if ":" in line)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.01)


def threads_of_servers() -> list[str]:
    names = ("shardmap-loop", "shardmap-calls", "shardmap-slow", "shardmap-keeper", "shardmap-http", "shardmap-save")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(names)]


# -- life -------------------------------------------------------------------------------------------------------------


def test_start_and_stop() -> None:
    server = Server(port=0, threads=2)
    assert not server.running
    assert (server.addresses, repr(server)) == ([], "Server(stopped)")
    with pytest.raises(RuntimeError, match="does not run"):
        _ = server.port
    server.stop()
    assert server.start() is server
    assert server.running
    assert server.address == f"127.0.0.1:{server.port}"
    assert repr(server) == f"Server({server.address})"
    assert {"shardmap-loop-0", "shardmap-loop-1", "shardmap-calls", "shardmap-keeper"} <= set(threads_of_servers())
    with pytest.raises(RuntimeError, match="running"):
        server.start()
    with connect(server) as wire:
        assert str(wire("PING")) == "PONG"
        server.stop()
        with pytest.raises((Closed, OSError)):
            wire("PING")
    server.stop()
    assert threads_of_servers() == []


def test_it_may_run_again() -> None:
    server = Server(port=0, threads=1)
    for number in range(5):
        with server, connect(server) as wire:
            assert wire("INCR", "runs") == number + 1
    assert server.byte_map[b"runs"] == b"5"


def test_the_application_shares_the_map() -> None:
    byte_map = ByteMap()
    with Server(byte_map, port=0, threads=2) as server, connect(server) as wire:
        assert server.byte_map is byte_map
        byte_map[b"here"] = b"1"
        assert wire("GET", "here") == b"1"
        assert wire("SET", "there", "2") == OK

        def add() -> None:
            for _ in range(2000):
                byte_map.add(b"sum")

        adders = [threading.Thread(target=add) for _ in range(2)]
        for each in adders:
            each.start()
        wire.pipeline(("INCR", "sum") for _ in range(2000))
        for each in adders:
            each.join()
        assert byte_map[b"sum"] == b"6000"
    assert byte_map[b"there"] == b"2"


def test_settings_that_change() -> None:
    with Server(port=0, threads=1) as server:
        with connect(server) as wire:
            assert wire("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru", "timeout", "77") == OK
        assert (server.settings.max_memory, server.settings.eviction) == (100 << 20, "allkeys-lru")
        assert server.byte_map.memory().max_memory == 100 << 20
        assert server.settings.idle_timeout == 77
    assert server.settings.idle_timeout == 77, "they stay for the next run"


def test_the_interval_of_sweeps_changes_at_once() -> None:
    with Server(port=0, threads=1, gc_interval=3600) as server, connect(server) as wire:
        wire.pipeline(("SET", f"k{number}", "v", "PX", "10") for number in range(100))
        time.sleep(0.1)
        assert len(server.byte_map) == 100
        assert wire("CONFIG", "SET", "gc-interval", "0.05") == OK
        until(lambda: len(server.byte_map) == 0)


def test_the_password_of_a_public_server_cannot_be_taken_away() -> None:
    with Server(bind="0.0.0.0", port=0, threads=1, password="x") as server, connect(server) as wire:
        assert wire("AUTH", "x") == OK
        reply = wire("CONFIG", "SET", "requirepass", "")
        assert isinstance(reply, ReplyError)
        assert "without a password" in reply
        assert wire("CONFIG", "SET", "requirepass", "y") == OK
        with connect(server) as other:
            assert other("AUTH", "y") == OK


def test_stop_from_several_threads() -> None:
    server = Server(port=0, threads=2).start()
    stoppers = [threading.Thread(target=server.stop) for _ in range(4)]
    server.request_stop()
    for each in stoppers:
        each.start()
    for each in stoppers:
        each.join(30)
        assert not each.is_alive()
    assert not server.running
    until(lambda: not threads_of_servers())


def serve_forever_until(server: Server, stop: Callable[[], None]) -> None:
    """In another thread, which has to end then."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    until(lambda: server.running)
    stop()
    thread.join(30)
    assert not thread.is_alive()
    assert not server.running


def test_serve_forever_ends_when_another_thread_stops_it() -> None:
    server = Server(port=0, threads=1)
    serve_forever_until(server, server.request_stop)


@pytest.mark.parametrize("shut_down", [True, False], ids=["SHUTDOWN", "request_stop"])
def test_serve_forever_ends_at_once_if_it_was_stopped_since_it_was_started(shut_down: bool) -> None:
    server = Server(port=0, threads=1).start()
    if shut_down:
        with connect(server) as wire, pytest.raises((Closed, OSError)):
            wire("SHUTDOWN")
    else:
        server.request_stop()
    until(lambda: not server.running and not threads_of_servers())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    # That was told, so that it starts now.
    serve_forever_until(server, server.stop)


def test_serve_forever_tells_what_went_wrong_before_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    server = Server(port=0, threads=1, snapshot_path=folder / "s.snap").start()
    folder.rmdir()
    server.request_stop()
    until(lambda: not server.running and not threads_of_servers())
    with pytest.raises(FileNotFoundError):
        server.serve_forever()


def test_shutdown_stops_a_server_in_an_application() -> None:
    server = Server(port=0, threads=2).start()
    with connect(server) as wire:
        assert str(wire("SHUTDOWN", "BOGUS")) == "ERR syntax error"
        assert str(wire("SHUTDOWN", "ABORT")) == "ERR No shutdown in progress."
        assert str(wire("SHUTDOWN", "SAVE")).startswith("ERR Errors trying to SHUTDOWN")
        with pytest.raises((Closed, OSError)):
            wire("SHUTDOWN")
    until(lambda: not server.running and not threads_of_servers())


def test_a_program_that_ends_without_stopping() -> None:
    code = """
import shardmap, sys
server = shardmap.Server(port=0, threads=2, snapshot_path=sys.argv[1]).start()
server.byte_map[b"a"] = b"1"
print("ends")
"""
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"ends-{os.getpid()}.snap")
    try:
        assert run_python_ok(code, path) == "ends\n"
        with open_snapshot(path) as entries:
            assert dict(entries) == {b"a": b"1"}
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def test_an_interrupt_ends_serve_forever_cleanly() -> None:
    code = """
import os, shardmap, signal, threading
server = shardmap.Server(port=0, threads=1)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    server.serve_forever()
except KeyboardInterrupt:
    print("interrupted", server.running)
"""
    assert run_python_ok(code) == "interrupted False\n"


def test_the_child_of_a_fork_leaves_the_server_to_its_parent(tmp_path: Path) -> None:
    code = """
import os, shardmap, sys, threading
path, unix_socket = sys.argv[1:]
server = shardmap.Server(port=0, threads=1, snapshot_path=path, unix_socket=unix_socket).start()
port = server.port
child = os.fork()
if child == 0:
    assert not server.running
    server.stop()
    server.byte_map[b"of the child"] = b"1"
    with shardmap.Server(server.byte_map, port=0, threads=1) as own:
        assert own.port != port
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert not os.path.exists(path) and os.path.exists(unix_socket)
import socket
with socket.create_connection(("127.0.0.1", port)) as client:
    client.sendall(b"PING\\r\\n")
    assert client.recv(100) == b"+PONG\\r\\n"
server.stop()
assert os.path.exists(path)
with shardmap.Server(port=port, threads=1):
    print("done")
"""
    done = run_python(code, str(tmp_path / "s.snap"), str(tmp_path / "s.sock"), options=("-W", "ignore"))
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


# -- snapshots --------------------------------------------------------------------------------------------------------


def test_entries_survive(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    with Server(port=0, threads=1, snapshot_path=path) as server, connect(server) as wire:
        wire.pipeline(("SET", f"k{number}", f"v{number}") for number in range(1000))
        wire("SET", "ends", "soon", "PX", "200000")
    with Server(port=0, threads=1, snapshot_path=path) as server, connect(server) as wire:
        assert wire("DBSIZE") == 1001
        assert wire("GET", "k999") == b"v999"
        assert 100_000 < wire("PTTL", "ends") <= 200_000
        assert info(wire)["rdb_last_load_keys_loaded"] == "1001"


def test_stop_without_saving(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    server = Server(port=0, threads=1, snapshot_path=path).start()
    server.byte_map[b"a"] = b"1"
    server.stop(save=False)
    assert not path.exists()


def test_save_and_bgsave(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    with Server(port=0, threads=1, snapshot_path=path) as server, connect(server) as wire:
        before = wire("LASTSAVE")
        wire("SET", "a", "1")
        assert wire("SAVE") == OK
        with open_snapshot(path) as entries:
            assert len(entries) == 1
        wire("SET", "b", "2")
        assert str(wire("BGSAVE")) == "Background saving started"
        until(lambda: info(wire)["rdb_saves"] == "2")
        assert str(wire("BGSAVE", "SCHEDULE")) == "Background saving started"
        assert str(wire("BGSAVE", "NOW")) == "ERR syntax error"
        assert wire("LASTSAVE") >= before
        until(lambda: info(wire)["rdb_bgsave_in_progress"] == "0")
        assert info(wire)["rdb_last_bgsave_status"] == "ok"


def test_saving_without_a_path() -> None:
    with Server(port=0, threads=1) as server, connect(server) as wire:
        for command in ("SAVE", "BGSAVE"):
            assert str(wire(command)).startswith("ERR there is no snapshot file")


def test_a_snapshot_every_interval(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    with Server(port=0, threads=1, snapshot_path=path, snapshot_interval=3600) as server, connect(server) as wire:
        wire("SET", "a", "1")
        assert wire("CONFIG", "SET", "snapshot-interval", "0.1") == OK
        assert wire("CONFIG", "GET", "snapshot-interval") == [b"snapshot-interval", b"0.1"]
        until(path.exists)
        until(lambda: int(info(wire)["rdb_saves"]) >= 2)


def test_a_save_that_fails_leaves_the_old_file_and_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "s.snap"
    server = Server(port=0, threads=1, snapshot_path=path).start()
    with connect(server) as wire:
        wire("SET", "a", "1")
        assert wire("SAVE") == OK
        good = path.read_bytes()
        # Where a folder stands no temporary file can be made: as if the disk had no room for it.
        (folder / "s.snap.tmp").mkdir()
        wire("SET", "b", "2")
        reply = wire("SAVE")
        assert isinstance(reply, ReplyError)
        assert "Is a directory" in reply
        fields = info(wire)
        assert fields["rdb_last_bgsave_status"] == "err"
        assert "Is a directory" in fields["snapshot_last_error"]
        assert str(wire("BGSAVE")) == "Background saving started"
        until(lambda: info(wire)["rdb_bgsave_in_progress"] == "0")
        assert path.read_bytes() == good
        assert str(wire("SHUTDOWN")).startswith("ERR Errors trying to SHUTDOWN")
        assert wire("GET", "b") == b"2", "nothing is lost"
        (folder / "s.snap.tmp").rmdir()
        assert wire("SAVE") == OK
        assert info(wire)["rdb_last_bgsave_status"] == "ok"
        (folder / "s.snap.tmp").mkdir()
    with pytest.raises(IsADirectoryError):
        server.stop()
    assert not server.running
    assert threads_of_servers() == []
    with open_snapshot(path) as entries:
        assert len(entries) == 2


def test_a_disk_without_room(tmp_path: Path) -> None:
    code = """
import resource, signal, shardmap, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
with shardmap.Server(port=0, threads=1, snapshot_path=sys.argv[1]) as server:
    server.byte_map[b"a"] = b"1"
    state = server._running.state
    state.snapshots.save()
    server.byte_map.update((b"%d" % number, bytes(1000)) for number in range(1000))
    try:
        state.snapshots.save()
    except OSError as error:
        print(error.strerror, state.snapshots.last_error is not None)
    server.stop(save=False)
print(len(shardmap.open_snapshot(sys.argv[1])))
"""
    done = run_python(code, str(tmp_path / "s.snap"))
    assert done.stdout == "File too large True\n1\n", done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["s.snap"]


def test_a_damaged_snapshot_stops_the_start_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    ByteMap({b"%d" % number: b"v" * 50 for number in range(1000)}).dump(path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 8
    path.write_bytes(damaged)
    server = Server(port=0, threads=1, snapshot_path=path)
    with pytest.raises(SnapshotError, match="at byte"):
        server.start()
    assert not server.running
    assert threads_of_servers() == []
    assert path.read_bytes() == damaged
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        server.start()


def test_nothing_is_written_over_a_file_that_could_not_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "s.snap"
    path.write_bytes(b"precious, and no snapshot" * 10)
    snapshots = Snapshots(ByteMap({b"a": b"1"}), str(path))
    with pytest.raises(SnapshotError):
        snapshots.load()
    for save in (snapshots.save, snapshots.save_in_background, lambda: snapshots.save(wait=True)):
        with pytest.raises(OSError, match="could not be loaded"):
            save()
    assert not snapshots.in_progress
    assert path.read_bytes() == b"precious, and no snapshot" * 10


def test_while_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.snap"
    ByteMap({b"a": b"1"}).dump(path)
    loading, go_on = threading.Event(), threading.Event()
    load = Snapshots.load

    def slowly(snapshots: Snapshots) -> int:
        loading.set()
        assert go_on.wait(30)
        return load(snapshots)

    monkeypatch.setattr(Snapshots, "load", slowly)
    server = Server(bind="", unix_socket=tmp_path / "s.sock", threads=1, snapshot_path=path)
    starter = threading.Thread(target=server.start)
    starter.start()
    try:
        assert loading.wait(30)
        with _unix(tmp_path / "s.sock") as client:
            assert client.call("PING") == b"PONG"
            assert "loading:1" in client.call("INFO", "persistence").decode()
            for command in (("GET", "a"), ("SET", "a", "2"), ("SAVE",), ("BGSAVE",)):
                with pytest.raises(Exception, match=r"^LOADING "):
                    client.call(*command)
    finally:
        go_on.set()
        starter.join(30)
    with _unix(tmp_path / "s.sock") as client:
        assert client.call("GET", "a") == b"1"
        assert "loading:0" in client.call("INFO", "persistence").decode()
    server.stop()


def _unix(path: Path) -> Any:
    from shardmap.service.client import Client

    return Client("", 0, unix_socket=str(path))


def test_one_save_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = Snapshots(ByteMap({b"a": b"1"}), str(tmp_path / "s.snap"))
    saving, go_on = threading.Event(), threading.Event()
    save = Snapshots._save

    def slowly(self: Snapshots) -> int:
        saving.set()
        assert go_on.wait(30)
        return save(self)

    monkeypatch.setattr(Snapshots, "_save", slowly)
    snapshots.save_in_background()
    try:
        assert saving.wait(30)
        assert snapshots.in_progress
        for another in (snapshots.save, snapshots.save_in_background):
            with pytest.raises(SaveInProgressError, match="Background save already in progress"):
                another()
    finally:
        go_on.set()
    assert snapshots.save(wait=True) == 1
    snapshots.join()
    assert snapshots.saves == 2
    with pytest.raises(NoSnapshotPathError):
        Snapshots(ByteMap(), "").save()


def test_save_does_not_hold_up_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saving, go_on = threading.Event(), threading.Event()
    save = Snapshots._save

    def slowly(self: Snapshots) -> int:
        saving.set()
        assert go_on.wait(30)
        return save(self)

    with Server(port=0, threads=1, snapshot_path=tmp_path / "s.snap") as server:
        monkeypatch.setattr(Snapshots, "_save", slowly)
        replies: list[Any] = []
        with connect(server) as wire, connect(server) as other:
            waiting = threading.Thread(target=lambda: replies.append(wire("SAVE")))
            waiting.start()
            try:
                assert saving.wait(30)
                assert info(other)["rdb_bgsave_in_progress"] == "1"
                assert other("SET", "a", "1") == OK
                assert str(other("BGSAVE")) == "ERR Background save already in progress"
            finally:
                go_on.set()
                waiting.join(30)
            assert replies == [OK]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_a_killed_server_leaves_the_last_snapshot(tmp_path: Path) -> None:
    code = """
import os, shardmap, signal, sys
with shardmap.Server(port=0, threads=1, snapshot_path=sys.argv[1]) as server:
    server.byte_map[b"a"] = b"1"
    server._running.state.snapshots.save()
    server.byte_map[b"b"] = b"2"
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run_python(code, str(tmp_path / "s.snap")).returncode == -signal.SIGKILL
    with Server(port=0, threads=1, snapshot_path=tmp_path / "s.snap") as server:
        assert dict(server.byte_map) == {b"a": b"1"}
