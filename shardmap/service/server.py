"""Server: the service on a byte map, from start to stop.

The order of things, and why:

1. Settings are checked and sockets opened first: what is wrong there is raised before anything runs.
2. Loops and the page start, and answer LOADING while the snapshot is loaded. A damaged one stops the start: nothing is
   saved then, and the file stays as it is.
3. To stop, listeners are left alone, loops finish what they have read and end, and only then is the snapshot written:
   it has every write that a client was told of.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from shardmap import config
from shardmap._core import CoreServer
from shardmap.bytemap import ByteMap
from shardmap.errors import ConfigError
from shardmap.service import descriptors
from shardmap.service.calls import Calls
from shardmap.service.configuration import Configuration
from shardmap.service.keeper import Keeper
from shardmap.service.latency import LatencyMonitor
from shardmap.service.listeners import Listeners, check_public, resolve
from shardmap.service.sampler import Sampler
from shardmap.service.settings import Options, Settings
from shardmap.service.snapshots import Snapshots
from shardmap.service.state import State

if TYPE_CHECKING:
    from shardmap.service.http import HttpServers

__all__ = ["Server"]

_log = logging.getLogger(__name__)

#: Seconds between two looks of who waits for the end: a signal that comes in the moment before a thread falls asleep
#: does not wake it, and its handler runs when the thread wakes.
WAKES = 0.25

#: Seconds that threads have for a call that is being answered when the loops have ended.
LAST_CALLS = 10.0


class Server:
    """Speaks the Redis protocol for a :class:`shardmap.ByteMap`, which the application's threads may use meanwhile.

    ``Server(byte_map=None, /, *, bind=, port=, unix_socket=, password=, ...)``

    *byte_map*
        the map; None makes one of the settings (``max_memory``, ``eviction``, ``shards``, ``hash_seed``).
    *options*
        every setting, by its name in :class:`shardmap.service.settings.Settings`. An argument beats the environment
        variable (``SHARDMAP_PORT`` for ``port``), that beats the default. ``port=0`` takes any port that is free:
        see :attr:`port`.

    Raises :class:`shardmap.ConfigError` for a value that is not allowed.

    >>> with Server(port=0) as server:
    ...     server.byte_map[b"key"] = b"value"      # what a client on server.port reads

    It runs from :meth:`start`, or the beginning of a ``with``, to :meth:`stop`, or its end; and may run again. All
    methods may be called by any thread.
    """

    def __init__(self, byte_map: ByteMap | None = None, /, **options: Unpack[Options]) -> None:
        #: The settings that it starts with; :attr:`settings` has those in force.
        self._settings = Settings.resolve(dict(options))
        if byte_map is None:
            #: The map that it serves.
            self.byte_map = ByteMap(
                max_memory=self._settings.max_memory,
                eviction=self._settings.eviction,
                shards=self._settings.shards,
                hash_seed=self._settings.hash_seed,
            )
        else:
            self.byte_map = byte_map
            self._adopt(options)
        # Its thread is the process's: without an argument it goes by the environment.
        self._gc_interval = None if options.get("gc_interval") is None else self._settings.gc_interval
        self._changing = threading.RLock()
        self._stopped = threading.Event()
        self._running: _Running | None = None
        self._failure: BaseException | None = None
        #: It was stopped from within, by SHUTDOWN or request_stop(), and serve_forever() has not told yet.
        self._shut_down = False
        _servers.add(self)

    def _adopt(self, options: Options) -> None:
        """Take the options of a map that is there, but for those that were given."""
        for name in ("shards", "hash_seed"):
            if options.get(name) is not None:
                raise ConfigError(f"{name}={options[name]!r}: the map has its own already; allowed is None")
        changes: dict[str, object] = {"shards": self.byte_map._shards}
        if options.get("max_memory") is None:
            changes["max_memory"] = self.byte_map._limit
        if options.get("eviction") is None:
            changes["eviction"] = config.EVICTION_POLICIES[self.byte_map._policy]
        self._settings = self._settings.replace(changes)
        if options.get("max_memory") is not None or options.get("eviction") is not None:
            self.byte_map._bound(self._settings.max_memory, config.EVICTION_POLICIES.index(self._settings.eviction))

    # -- running ----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen, load the snapshot if there is one, and return; threads of its own do the work.

        Raises :class:`ConfigError` (a public address without a password), :class:`OSError` (an address that is taken,
        a snapshot that cannot be read), :class:`shardmap.SnapshotError` (a damaged one); nothing runs then.
        """
        with self._changing:
            if self._running is not None:
                raise RuntimeError("the server is running")
            self._stopped.clear()
            self._failure = None
            self._shut_down = False
            running = _Running(self._settings, self.byte_map, self._finish)
            config.set_gc_interval(self._gc_interval)
            try:
                running.launch()
            except BaseException:
                running.tear_down()
                raise
            self._running = running
            # Loops must not look at a map of an interpreter that is gone.
            atexit.register(self.stop)
        return self

    def stop(self, *, save: bool | None = None) -> None:
        """Stop accepting, finish what clients have sent, close, and write the snapshot if there is a path for it.

        *save* False writes none. Raises :class:`OSError` if the snapshot cannot be written; all else is done then.
        Stopping again does nothing.
        """
        self._shut_down = False
        self._stop(save)

    def _stop(self, save: bool | None) -> None:
        running: _Running | None = None
        try:
            with self._changing:
                running, self._running = self._running, None
                if running is not None:
                    self._end(running, save)
        finally:
            if running is not None:
                # Without the lock, which that thread may be about to take.
                running.keeper.join()

    def _end(self, running: _Running, save: bool | None) -> None:
        """Locked."""
        atexit.unregister(self.stop)
        self._settings = running.state.settings
        try:
            running.tear_down()
            if running.state.snapshots.path and save is not False:
                running.state.snapshots.save(wait=True)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._stopped.set()

    def _forget(self) -> None:
        """In the child of a fork: the threads, the clients and the files are the parent's."""
        atexit.unregister(self.stop)
        running, self._running = self._running, None
        self._changing = threading.RLock()
        self._stopped = threading.Event()
        if running is not None:
            running.listeners.forget()
            # Its locks are as they were at that moment: nobody may look at it again, nor take it apart.
            _of_parents.append(running)

    def request_stop(self) -> None:
        """Have it stopped soon, and return at once. A signal handler may call this."""
        running = self._running
        if running is not None:
            running.keeper.request_stop()

    def _finish(self, save: bool | None) -> None:
        """Stop, in the keeper's thread: what that raises is for :meth:`serve_forever`."""
        self._shut_down = True
        try:
            self._stop(save)
        except Exception as error:
            _log.error("while stopping: %s", error)

    def serve_forever(self) -> None:
        """Run until somebody stops it: another thread, SHUTDOWN, or an interrupt of this one.

        Starts it first if it does not run; but if it was started, and somebody has stopped it by SHUTDOWN or
        :meth:`request_stop` already, returns at once. Raises what :meth:`stop` raises.
        """
        with self._changing:
            if self._running is None and not self._shut_down:
                self.start()
        try:
            while not self._stopped.wait(WAKES):
                pass
        finally:
            self.stop()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self._running is not None

    @property
    def settings(self) -> Settings:
        """The settings in force; CONFIG SET changes them."""
        running = self._running
        return self._settings if running is None else running.state.settings

    @property
    def addresses(self) -> list[str]:
        """Where it listens: ``127.0.0.1:7379``, ``[::1]:7379``, the path of a Unix socket. Empty if it does not run."""
        running = self._running
        return [] if running is None else list(running.state.addresses)

    @property
    def address(self) -> str:
        """The first of them."""
        return self._must_run().addresses[0]

    @property
    def port(self) -> int:
        """The TCP port; the one that was found if any was to do."""
        port = self._must_run().port
        if port is None:
            raise RuntimeError("the server listens on no TCP port")
        return port

    @property
    def http_addresses(self) -> list[str]:
        """URLs of the page, /metrics and so on; empty if that is off."""
        running = self._running
        return [] if running is None or running.http is None else running.http.urls()

    def _must_run(self) -> State:
        running = self._running
        if running is None:
            raise RuntimeError("the server does not run")
        return running.state

    def __repr__(self) -> str:
        where = ", ".join(self.addresses) or "stopped"
        return f"{type(self).__name__}({where})"


def _http_servers(state: State, addresses: list[str], port: int) -> HttpServers | None:
    """None if the port is 0: the module takes 4 MB, of which a service without a page has no use."""
    if not port:
        return None
    from shardmap.service.http import HttpServers  # noqa: PLC0415

    return HttpServers(state, addresses, port)


class _Running:
    """What exists while a server runs."""

    state: State

    def __init__(self, settings: Settings, byte_map: ByteMap, finish: Callable[[bool | None], None]) -> None:
        places = resolve(settings.bind)
        check_public(places, settings.password)
        settings = settings.replace({"max_clients": descriptors.make_room(settings.max_clients)})
        self.listeners = Listeners(places, settings.port, settings.unix_socket, settings.unix_socket_mode)
        try:
            self.core = CoreServer(byte_map, threads=settings.threads)
            configuration = Configuration(settings, self.core, byte_map, places)
            self.keeper = Keeper(finish)
            latency = LatencyMonitor(lambda: configuration.current.latency_threshold)
            self.state = State(
                core=self.core,
                byte_map=byte_map,
                configuration=configuration,
                snapshots=Snapshots(byte_map, settings.snapshot_path, latency.record, self._changes),
                latency=latency,
                sampler=Sampler(),
                shut_down=self.keeper.request_stop,
                addresses=self.listeners.addresses(),
                port=self.listeners.port,
                threads=settings.threads,
            )
            self.calls = Calls(self.state)
            self.http = _http_servers(self.state, [address for _, address in places], settings.http_port)
        except BaseException:
            self.listeners.close()
            raise
        self._loops = [
            threading.Thread(target=self._loop, args=(number,), name=f"shardmap-loop-{number}", daemon=True)
            for number in range(settings.threads)
        ]

    def launch(self) -> None:
        """Start all threads, and load the snapshot."""
        for listener in self.listeners.sockets:
            self.core.add_listener(listener.fileno())
        state = self.state
        state.loading = state.snapshots.exists()
        self.core.set_loading(state.loading)
        for thread in self._loops:
            thread.start()
        self.calls.start()
        if self.http is not None:
            self.http.start()
        if state.loading:
            state.snapshots.load()
            state.loading = False
            self.core.set_loading(False)
        state.sample()
        self.keeper.start(state)
        _log.info("listening on %s", ", ".join(state.addresses))

    def tear_down(self) -> None:
        """End all threads and close all sockets."""
        began = time.monotonic()
        self.core.stop_accepting()
        self.core.stop()
        for thread in self._loops:
            if thread.ident is not None:
                thread.join()
        if not self.calls.join(LAST_CALLS):
            _log.warning("a call is still being answered")
        if self.http is not None:
            self.http.stop()
        self.listeners.close()
        self.keeper.end()
        self.state.snapshots.join()
        config.set_gc_interval(None)
        _log.info("stopped in %.2f s", time.monotonic() - began)

    def _changes(self) -> int:
        return sum(numbers[7] for numbers in self.core.shard_statistics())

    def _loop(self, number: int) -> None:
        try:
            self.core.run(number)
        except Exception:
            _log.exception("an event loop failed; stopping")
            self.keeper.request_stop()


#: For the child of a fork.
_servers: weakref.WeakSet[Server] = weakref.WeakSet()
_of_parents: list[_Running] = []


def _forget_all() -> None:
    for server in list(_servers):
        server._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
