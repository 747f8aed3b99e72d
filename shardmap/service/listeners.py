"""Listening sockets: TCP on one or several addresses, IPv6 too, and a Unix socket.

They are opened before anything else is started, all or none: what cannot be had is an :class:`OSError` whose text says
which address and what to do. An address that others than this machine reach is refused without a password, since
whoever reaches it could read and change every entry.

Rules for callers:

1. The sockets are non-blocking and belong to :class:`Listeners`; the core only looks at their descriptors.
2. ``close`` comes after the loops have ended, and removes the Unix socket's file if it is still this one's.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress

from shardmap.errors import ConfigError

__all__ = ["Listeners", "check_public", "resolve", "shown"]

#: Connections that wait to be accepted; Redis's number. The system may allow fewer.
BACKLOG = 511
#: A Unix socket's path is kept in a field of 108 bytes, with a null character behind it.
MOST_PATH = 107
#: Every address, of both families.
EVERY = "*"

#: Family and address, as bind() takes it without the port.
Place = tuple[socket.AddressFamily, str]


def resolve(bind: Iterable[str]) -> list[Place]:
    """The addresses that names stand for, in order, each once."""
    places: list[Place] = []
    for name in bind:
        if name == EVERY:
            places.append((socket.AF_INET, "0.0.0.0"))
            if socket.has_dualstack_ipv6():
                places.append((socket.AF_INET6, "::"))
            continue
        try:
            found = socket.getaddrinfo(name.strip("[]"), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"bind={name!r}: {error}: allowed are addresses of this machine, or names of them"
            ) from None
        places += [(family, str(address[0])) for family, _, _, _, address in found]
    return list(dict.fromkeys(places))


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def check_public(places: Iterable[Place], password: str) -> None:
    """Refuse an address that others reach if there is no password."""
    if password:
        return
    public = [address for _, address in places if not is_loopback(address)]
    if public:
        raise ConfigError(
            f"bind={' '.join(public)!r} without a password: whoever reaches this machine could read and change every "
            "entry; allowed is this with a password (SHARDMAP_PASSWORD or SHARDMAP_PASSWORD_FILE), or a loopback "
            "address as 127.0.0.1"
        )


class Listeners:
    """The open sockets of a server."""

    def __init__(self, places: Sequence[Place], port: int, unix_socket: str = "", mode: int = 0o600) -> None:
        self.sockets: list[socket.socket] = []
        #: The TCP port, or None if there are no addresses.
        self.port: int | None = None
        self.unix_socket = unix_socket
        self._made: os.stat_result | None = None
        try:
            for place in places:
                # The first one chooses if any port will do.
                self.sockets.append(_tcp(place, port if self.port is None else self.port))
                self.port = self.sockets[-1].getsockname()[1]
            if unix_socket:
                self.sockets.append(self._unix(unix_socket, mode))
            if not self.sockets:
                raise ConfigError("bind='': allowed is at least one address, or unix_socket=")
        except BaseException:
            self.close()
            raise

    def addresses(self) -> list[str]:
        """Where they listen: ``127.0.0.1:7379``, ``[::1]:7379``, or a path."""
        return [shown(each) for each in self.sockets]

    def close(self) -> None:
        """Close all of them. Closing again does nothing."""
        while self.sockets:
            self.sockets.pop().close()
        if self._made is not None:
            with suppress(OSError):
                # Another server may have put its own there.
                if os.path.samestat(os.stat(self.unix_socket, follow_symlinks=False), self._made):
                    os.unlink(self.unix_socket)
            self._made = None

    def forget(self) -> None:
        """In the child of a fork: close them, and leave the file to the parent."""
        self._made = None
        self.close()

    def _unix(self, path: str, mode: int) -> socket.socket:
        if len(os.fsencode(path)) > MOST_PATH:
            raise ConfigError(f"unix_socket={path!r}: allowed is a path of at most {MOST_PATH} bytes")
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
            self._made = os.stat(path, follow_symlinks=False)
            # Nobody can connect before listen(), so there is no moment with wider permissions.
            os.chmod(path, mode)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"the Unix socket cannot be opened: {error.strerror}", path) from None
        return listener


def shown(listener: socket.socket) -> str:
    """Its address as people write it."""
    address = listener.getsockname()
    if listener.family == socket.AF_INET6:
        return f"[{address[0]}]:{address[1]}"
    if listener.family == socket.AF_INET:
        return f"{address[0]}:{address[1]}"
    return os.fsdecode(address)


def _tcp(place: Place, port: int) -> socket.socket:
    family, address = place
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of a former server that has just ended do not keep the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"{address} port {port}: {_reason(error)}") from None
    return listener


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program listens there; stop it or choose another port (SHARDMAP_PORT)"
    if error.errno == errno.EACCES:
        return "not allowed; ports below 1024 are for privileged programs, choose another one (SHARDMAP_PORT)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no address of this machine (SHARDMAP_BIND)"
    return error.strerror or str(error)


def _remove_stale(path: str) -> None:
    """Remove the socket file that a killed server has left; an error if there is something else."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "there is something that is no socket; choose another path", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError:
            # Somebody listens, and is busy.
            pass
    raise OSError(errno.EADDRINUSE, "another program listens there; stop it or choose another path", path)
