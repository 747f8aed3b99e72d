"""The server of a load test: one that the run starts, saves, ends and starts again, or one that somebody else runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

__all__ = ["LoadServer"]

#: Seconds until a server answers, with its snapshot loaded; and until it has ended, with its snapshot written.
_STARTS_WITHIN, _ENDS_WITHIN = 60.0, 60.0


class LoadServer:
    """Where the load goes to.

    1. ``start`` before the first user; with a ``url`` of another's server it only looks whether that answers.
    2. ``restart`` when no user runs: SAVE, SIGTERM, and again from the snapshot. Only for an own one.
    3. ``stop`` at the end.
    """

    def __init__(self, url: str = "") -> None:
        #: Whether this run has started it.
        self.own = not url
        place = urlsplit(url)
        self.host = place.hostname or "127.0.0.1"
        self.port = place.port or 6379
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def client(self, **options: Any) -> Any:
        return redis.Redis(host=self.host, port=self.port, **options)

    def resident(self) -> int:
        """Bytes of memory that it has from the system, as it says itself."""
        with self.client() as client:
            return int(client.info("memory")["used_memory_rss"])

    def start(self) -> None:
        """Have it answer."""
        if self.own and self._process is None:
            self._folder = self._folder or tempfile.TemporaryDirectory(prefix="shardmap-load-")
            self.port = _free_port()
            self._launch()
        self._wait()

    def restart(self) -> None:
        """Save, end it as an operator would, and start it on what it saved."""
        with self.client() as client:
            client.save()
        self._terminate()
        self._launch()
        self._wait()

    def stop(self) -> None:
        """End it; nothing is left of it."""
        if self._process is not None:
            self._terminate()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _launch(self) -> None:
        assert self._folder is not None
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SHARDMAP_")}
        environment |= {
            "SHARDMAP_PORT": str(self.port),
            "SHARDMAP_SNAPSHOT_PATH": str(Path(self._folder.name) / "load.snapshot"),
        }
        # In a session of its own: Ctrl-C is for the run, which still has to check what the server holds.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "shardmap", "serve"],
            env=environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _terminate(self) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        status = process.wait(_ENDS_WITHIN)
        if status:
            raise RuntimeError(f"the server ended with status {status}")

    def _wait(self) -> None:
        ends = time.monotonic() + _STARTS_WITHIN
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    # Answered only when the snapshot is loaded.
                    client.dbsize()
                    return
                except redis.RedisError:
                    dead = self._process is not None and self._process.poll() is not None
                    if dead or time.monotonic() > ends:
                        raise
                    time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
