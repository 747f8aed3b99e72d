"""What CONFIG GET shows: the settings under Redis's names, and those of Redis that tools ask for.

A setting whose unit is Redis's is shown as Redis shows it: bytes as a number, ``timeout`` in whole seconds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from shardmap.service.kinds import Size
from shardmap.service.settings import SETTINGS, Settings

__all__ = ["BY_PARAMETER", "FIXED", "parameters"]

#: A setting's name for each parameter, with a second one where ours differs from Redis's.
BY_PARAMETER: Mapping[str, str] = {
    **{name.replace("_", "-"): name for name in SETTINGS},
    **{setting.parameter: name for name, setting in SETTINGS.items()},
}

#: Of Redis, with the only value that they have here. redis-benchmark, redis_exporter and others ask for them.
FIXED: Mapping[str, str] = {
    "appendonly": "no",
    "appendfsync": "no",
    "daemonize": "no",
    "databases": "1",
    "cluster-enabled": "no",
    "lazyfree-lazy-user-del": "yes",
    "maxmemory-samples": "5",
    "notify-keyspace-events": "",
    "protected-mode": "yes",
    "rdbchecksum": "yes",
    "rdbcompression": "no",
    "stop-writes-on-bgsave-error": "no",
    "tcp-backlog": "511",
}


def parameters(settings: Settings) -> dict[str, str]:
    """Every parameter and its value."""
    shown = dict(FIXED)
    for name, setting in SETTINGS.items():
        value = getattr(settings, name)
        if value is None:
            shown[setting.parameter] = ""
        elif isinstance(setting.kind, Size):
            shown[setting.parameter] = str(value)
        else:
            shown[setting.parameter] = setting.kind.text(value)
    path = os.path.abspath(settings.snapshot_path) if settings.snapshot_path else ""
    shown["dir"] = os.path.dirname(path) or os.getcwd()
    shown["dbfilename"] = os.path.basename(path)
    shown["save"] = f"{settings.snapshot_interval:.0f} 1" if path and settings.snapshot_interval else ""
    return dict(sorted(shown.items()))
