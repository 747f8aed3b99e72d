"""Every setting of the service, once: default, what is allowed, variable, Redis's name, whether it may change.

A field of :class:`Settings` is the keyword argument of :class:`shardmap.Server`; in capitals behind ``SHARDMAP_`` the
environment variable; with hyphens the option of ``shardmap serve`` and, where Redis has no name of its own for it, the
parameter of CONFIG. An argument beats the environment, the environment beats the default. What is not allowed is a
:class:`shardmap.ConfigError` that names the setting, the value and what is allowed; nothing has been started then.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar, cast

from shardmap import config
from shardmap.errors import ConfigError
from shardmap.service.kinds import (
    Addresses,
    Choice,
    Integer,
    Kind,
    Mode,
    Names,
    Path,
    PowerOfTwo,
    Seconds,
    Secret,
    Size,
)

__all__ = ["SETTINGS", "Options", "Setting", "Settings", "password_from", "processors"]

T = TypeVar("T")

PORT = Integer(0, 65535, "a port from 0 (any that is free) to 65535")
#: Lengths of the protocol are 64 bits; beyond this nobody's memory goes.
MOST_BYTES = 1 << 40
#: A value's length has 31 bits in a snapshot.
MOST_BULK = (1 << 31) - 1


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Setting:
    """What is known of a setting besides its value."""

    name: str
    kind: Kind[Any]
    #: Called without arguments, if it depends on the machine.
    default: Any
    help: str
    #: Its parameter in CONFIG.
    parameter: str
    #: CONFIG SET may change it.
    hot: bool
    #: What the help says in place of the default.
    default_text: str

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "SHARDMAP_" + self.name.upper()

    @property
    def option(self) -> str:
        """The option of the command line."""
        return "--" + self.name.replace("_", "-")

    def parse(self, text: str, given: str | None = None) -> Any:
        """Read a value; *given* is where it comes from, for the message."""
        try:
            return self.kind.parse(text)
        except (ValueError, OverflowError):
            raise self._error(given or self.variable, text) from None

    def check(self, value: object) -> Any:
        """Check an argument of Python."""
        try:
            return self.kind.check(value)
        except TypeError:
            kind = type(value).__name__
            raise TypeError(f"{self.name} is of the wrong type, {kind}: allowed is {self.kind.allowed}") from None
        except (ValueError, OverflowError):
            raise self._error(self.name, value) from None

    def _error(self, given: str, value: object) -> ConfigError:
        shown = "(not shown)" if isinstance(self.kind, Secret) else _shortened(repr(value))
        return ConfigError(f"{given}={shown}: allowed is {self.kind.allowed}")

    def default_value(self) -> Any:
        """The default, on this machine."""
        return self.default() if callable(self.default) else self.default


def _shortened(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."


def _setting(
    kind: Kind[T],
    default: T | Callable[[], T] | None,
    help: str,  # noqa: A002  # As click calls it.
    *,
    redis: str | None = None,
    hot: bool = False,
    default_text: str | None = None,
) -> T:
    """A field of Settings."""
    metadata = {"kind": kind, "default": default, "help": help, "redis": redis, "hot": hot, "text": default_text}
    made: Any = (
        dataclasses.field(default_factory=default, metadata=metadata)
        if callable(default)
        else dataclasses.field(default=default, metadata=metadata)
    )
    return cast("T", made)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values of all settings, checked. One object never changes: a change makes another."""

    bind: tuple[str, ...] = _setting(
        Addresses(), ("127.0.0.1",), "Addresses to listen on. Others than loopback need a password.", redis="bind"
    )
    port: int = _setting(PORT, 7379, "TCP port; 0: any that is free.", redis="port")
    unix_socket: str = _setting(Path(), "", "Unix socket to listen on besides.", redis="unixsocket")
    unix_socket_mode: int = _setting(
        Mode(), 0o600, "Who may connect to the Unix socket: permissions in octal.", redis="unixsocketperm"
    )
    http_port: int = _setting(
        Integer(0, 65535, "0 (off) or a port up to 65535"),
        0,
        "Port for /metrics, /healthz, /readyz and the live page; 0: off.",
    )
    http_hosts: tuple[str, ...] = _setting(
        Names(), (), "Names that a browser or a monitor may call this machine, besides its addresses and host name."
    )
    threads: int = _setting(
        Integer(1, 1024),
        processors,
        "Event loops, each a thread.",
        redis="io-threads",
        default_text="one a processor",
    )
    password: str = _setting(
        Secret(),
        "",
        "Password that clients have to give. Other users of the machine can see an option of the command line: prefer "
        "the variable or the file.",
        redis="requirepass",
        hot=True,
    )
    snapshot_path: str = _setting(
        Path(), "", "Snapshot file: loaded at the start, written at the end, by SAVE, BGSAVE and at intervals."
    )
    snapshot_interval: float = _setting(Seconds("never"), 0.0, "Seconds between two snapshots; 0: none.", hot=True)
    max_memory: int = _setting(
        Size(config.MIN_SHARD_MEMORY, config.MAX_MEMORY, none="no bound"),
        0,
        "Bound for the memory of all entries, as 512mb; 0: none.",
        redis="maxmemory",
        hot=True,
    )
    eviction: str = _setting(
        Choice(config.EVICTION_POLICIES),
        config.EVICTION_POLICIES[0],
        "What happens at the bound: noeviction, allkeys-lru or volatile-ttl.",
        redis="maxmemory-policy",
        hot=True,
    )
    gc_interval: float = _setting(
        Seconds("never"),
        config.DEFAULT_GC_INTERVAL,
        "Seconds between two sweeps of expired entries; 0: none.",
        hot=True,
    )
    shards: int | None = _setting(
        PowerOfTwo(config.MAX_SHARDS),
        None,
        "Independent parts of the map, a power of two.",
        default_text="by the number of processors",
    )
    hash_seed: int | None = _setting(
        Integer(0, config.MAX_SEED, "an integer from 0 to 2**64 - 1"),
        None,
        "Where in its shard a key goes.",
        default_text="random",
    )
    max_clients: int = _setting(Integer(1, 1_000_000), 10_000, "Connections at a time.", redis="maxclients", hot=True)
    max_bulk: int = _setting(
        Size(1, MOST_BULK),
        512 << 20,
        "Longest key, value or other argument.",
        redis="proto-max-bulk-len",
        hot=True,
    )
    max_arguments: int = _setting(Integer(1, 1 << 30), 1 << 20, "Arguments of a command.", hot=True)
    max_query: int = _setting(
        Size(1024, MOST_BYTES),
        1 << 30,
        "Bytes of one client that wait to be understood; beyond, it is disconnected.",
        redis="client-query-buffer-limit",
        hot=True,
    )
    max_output: int = _setting(
        Size(1024, MOST_BYTES),
        1 << 30,
        "Bytes of replies that wait for one client to read them; beyond, it is disconnected.",
        hot=True,
    )
    idle_timeout: float = _setting(
        Seconds("never"),
        0.0,
        "Seconds after which a silent client is disconnected; 0: never.",
        redis="timeout",
        hot=True,
    )
    request_timeout: float = _setting(
        Seconds("none"),
        30.0,
        "Seconds for a command to arrive as a whole, and for a client to give its password; 0: any time.",
        hot=True,
    )
    slow_log_threshold: int = _setting(
        Integer(-1, 1 << 50, "microseconds; 0: every command, -1: none"),
        10_000,
        "Microseconds from which on a command gets into the slow log; 0: every one, -1: none.",
        redis="slowlog-log-slower-than",
        hot=True,
    )
    slow_log_length: int = _setting(
        Integer(0, 1 << 20), 128, "Commands that the slow log keeps.", redis="slowlog-max-len", hot=True
    )
    latency_threshold: int = _setting(
        Integer(0, 1 << 40, "milliseconds, 0 (off) or more"),
        0,
        "Milliseconds from which on LATENCY remembers a command of the slow log, or a snapshot; 0: off.",
        redis="latency-monitor-threshold",
        hot=True,
    )

    @classmethod
    def resolve(
        cls, arguments: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
    ) -> Settings:
        """The settings that hold: arguments (None is as none) before the environment before the defaults.

        Raises :class:`ConfigError` for a value that is not allowed, :class:`TypeError` for an argument of the wrong
        type or name.
        """
        given = {name: value for name, value in (arguments or {}).items() if value is not None}
        environment = os.environ if environment is None else environment
        if unknown := given.keys() - SETTINGS.keys():
            raise TypeError(f"no setting of that name: {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            if name in given:
                values[name] = setting.check(given[name])
            elif (text := _text(setting, environment)) is not None:
                values[name] = setting.parse(text)
            else:
                values[name] = setting.default_value()
        return cls(**values)

    def replace(self, changes: Mapping[str, object]) -> Settings:
        """Other settings with these values, which are checked."""
        return dataclasses.replace(self, **{name: SETTINGS[name].check(value) for name, value in changes.items()})


def _text(setting: Setting, environment: Mapping[str, str]) -> str | None:
    """What the environment says of a setting, or None."""
    text = environment.get(setting.variable)
    file = environment.get(setting.variable + "_FILE") if isinstance(setting.kind, Secret) else None
    if not file:
        return text
    if text:
        raise ConfigError(f"{setting.variable} and {setting.variable}_FILE are both set: allowed is one of them")
    return password_from(file, setting.variable + "_FILE")


def password_from(path: str, given: str) -> str:
    """The first line of a file; *given* is where the path comes from, for the message."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            line = file.readline(4096).rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{given}={path!r}: {error.strerror}: allowed is a file that can be read") from None
    if not line:
        raise ConfigError(f"{given}={path!r}: its first line is empty: allowed is a file that begins with the password")
    return line


def _collect(fields: Iterable[dataclasses.Field[Any]]) -> dict[str, Setting]:
    made = {}
    for field in fields:
        known = field.metadata
        text = known["text"]
        if text is None:
            text = known["kind"].text(known["default"]) or "none"
        parameter = known["redis"] or field.name.replace("_", "-")
        made[field.name] = Setting(
            field.name, known["kind"], known["default"], known["help"], parameter, known["hot"], text
        )
    return made


#: All of them, by name.
SETTINGS = _collect(dataclasses.fields(Settings))


class Options(TypedDict, total=False):
    """The keyword arguments of :class:`shardmap.Server`, for type checkers."""

    bind: str | Iterable[str] | None
    port: int | None
    unix_socket: str | os.PathLike[str] | None
    unix_socket_mode: int | str | None
    http_port: int | None
    http_hosts: str | Iterable[str] | None
    threads: int | None
    password: str | None
    snapshot_path: str | os.PathLike[str] | None
    snapshot_interval: float | None
    max_memory: int | str | None
    eviction: str | None
    gc_interval: float | None
    shards: int | None
    hash_seed: int | None
    max_clients: int | None
    max_bulk: int | str | None
    max_arguments: int | None
    max_query: int | str | None
    max_output: int | str | None
    idle_timeout: float | None
    request_timeout: float | None
    slow_log_threshold: int | None
    slow_log_length: int | None
    latency_threshold: int | None
