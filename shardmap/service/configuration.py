"""The settings in force: published to the core together, and changed while the service runs.

One thread changes them at a time; readers take ``current``, which is one object that never changes. A change is checked
as a whole before any of it takes effect.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence

from shardmap import config, sweeper
from shardmap._core import CoreByteMap, CoreServer
from shardmap.errors import ConfigError
from shardmap.service import descriptors
from shardmap.service.listeners import Place, check_public
from shardmap.service.settings import SETTINGS, Settings

__all__ = ["Configuration"]


class Configuration:
    """What one server goes by."""

    def __init__(self, settings: Settings, core: CoreServer, byte_map: CoreByteMap, places: Sequence[Place]) -> None:
        self.current = settings
        self._core = core
        self._byte_map = byte_map
        #: Where it listens, since that decides whether it can do without a password.
        self._places = places
        self._changing = threading.Lock()
        self._publish(settings)

    def change(self, changes: Mapping[str, object]) -> None:
        """Give settings other values. :class:`ConfigError` if one is not allowed, and then nothing has changed."""
        with self._changing:
            fixed = [name for name in changes if not SETTINGS[name].hot]
            if fixed:
                raise ConfigError(f"{fixed[0]} can only be set at the start")
            settings = self.current.replace(changes)
            check_public(self._places, settings.password)
            if "max_clients" in changes and descriptors.make_room(settings.max_clients) < settings.max_clients:
                raise ConfigError(f"max_clients={settings.max_clients}: the system allows fewer open files")
            if {"max_memory", "eviction"} & changes.keys():
                self._byte_map._bound(settings.max_memory, config.EVICTION_POLICIES.index(settings.eviction))
            if "gc_interval" in changes:
                config.set_gc_interval(settings.gc_interval)
                sweeper.look_again()
            self._publish(settings)
            self.current = settings

    def _publish(self, settings: Settings) -> None:
        self._core.configure(
            password=settings.password.encode("utf-8", "surrogateescape"),
            max_clients=settings.max_clients,
            max_bulk=settings.max_bulk,
            max_arguments=settings.max_arguments,
            max_query=settings.max_query,
            max_output=settings.max_output,
            idle_timeout=_milliseconds(settings.idle_timeout),
            request_timeout=_milliseconds(settings.request_timeout),
            slow_log_threshold=settings.slow_log_threshold,
            slow_log_length=settings.slow_log_length,
        )


def _milliseconds(seconds: float) -> int:
    """Rounded up: what is not 0 must not become 0, which means never."""
    return math.ceil(seconds * 1000)
