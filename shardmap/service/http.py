"""The page and what monitors ask for, over HTTP: ``/``, ``/state.json``, ``/metrics``, ``/healthz``, ``/readyz``.

It only shows; nothing can be changed here. What protects it:

- It is bound to the addresses of the service.
- ``Host`` must be an address, ``localhost``, this machine's name or one of ``SHARDMAP_HTTP_HOSTS``: a page of another
  origin whose name was made to point here (DNS rebinding) gets nothing.
- With a password set, all but the health checks ask for it (HTTP Basic, any user name).
- Keys, values and commands' arguments are not shown. Files come from a fixed list. The number of connections, and the
  time that each has, are limited.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import importlib.resources
import ipaddress
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from shardmap.errors import ConfigError
from shardmap.service.report import report
from shardmap.service.state import State

if TYPE_CHECKING:
    from shardmap.service.metrics import Metrics

__all__ = ["HttpServers"]

_log = logging.getLogger(__name__)

#: Connections at a time; a page has two or three.
MOST_CONNECTIONS = 64
#: Seconds for a request to come, and for a reply to be taken.
DEADLINE = 10.0

#: Path: file, type.
FILES = {
    "/": ("index.htm", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
#: What anybody may ask for: a monitor without the password needs to know whether the service lives.
OPEN = ("/healthz", "/readyz")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

Reply = tuple[HTTPStatus, bytes, str]


class HttpServers:
    """One for each address of the service."""

    def __init__(self, state: State, addresses: Sequence[str], port: int) -> None:
        self._servers: list[_Server] = []
        self._threads: list[threading.Thread] = []
        pages = _Pages(state)
        try:
            for address in addresses:
                self._servers.append(_Server(address, port, pages))
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Begin to answer."""
        for server in self._servers:
            thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="shardmap-http", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Close them. Requests that are being answered have their deadline."""
        for server, _ in zip(self._servers, self._threads, strict=False):
            server.shutdown()
        for server in self._servers:
            server.server_close()
        for thread in self._threads:
            thread.join()
        self._servers.clear()
        self._threads.clear()

    def urls(self) -> list[str]:
        """Where the page is."""
        return [_url(server) for server in self._servers]


def _url(server: _Server) -> str:
    address, port = str(server.server_address[0]), server.server_address[1]
    return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"


class _Pages:
    """What is answered, apart from HTTP."""

    def __init__(self, state: State) -> None:
        self.state = state
        folder = importlib.resources.files("shardmap.service") / "page"
        self._files = {path: ((folder / name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        self._metrics = _metrics(state)
        self._routes: dict[str, Callable[[str], Reply]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics_page,
            "/state.json": self._state,
        }
        self._hosts = {"localhost", socket.gethostname().lower(), *map(str.lower, state.settings.http_hosts)}

    def reply(self, path: str, accepted: str) -> Reply:
        """The answer to a GET."""
        if path in self._files:
            body, kind = self._files[path]
            return HTTPStatus.OK, body, kind
        route = self._routes.get(path)
        return _text(HTTPStatus.NOT_FOUND, "not found") if route is None else route(accepted)

    def is_ours(self, host: str) -> bool:
        """Whether a browser that asks this host means us."""
        name = host.rpartition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
        if name.lower().removesuffix(".") in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_allowed(self, path: str, authorization: str) -> bool:
        """Whether who asks has said the password, if one is needed."""
        password = self.state.settings.password
        if not password or path in OPEN:
            return True
        scheme, _, encoded = authorization.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(encoded.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, password.encode("utf-8", "surrogateescape"))

    def _healthz(self, _: str) -> Reply:
        return _text(HTTPStatus.OK, "ok")

    def _readyz(self, _: str) -> Reply:
        if self.state.loading:
            return _text(HTTPStatus.SERVICE_UNAVAILABLE, "loading")
        return _text(HTTPStatus.OK, "ready")

    def _metrics_page(self, accepted: str) -> Reply:
        body, kind = self._metrics.render(accepted)
        return HTTPStatus.OK, body, kind

    def _state(self, _: str) -> Reply:
        return HTTPStatus.OK, json.dumps(report(self.state), separators=(",", ":")).encode(), "application/json"


def _metrics(state: State) -> Metrics:
    try:
        from shardmap.service.metrics import Metrics  # noqa: PLC0415  # Only here is prometheus-client needed.
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"http_port={state.settings.http_port} needs {error.name}: pip install 'shardmap[service]', or allowed is 0"
        ) from None
    return Metrics(state)


def _text(status: HTTPStatus, text: str) -> Reply:
    return status, text.encode() + b"\n", "text/plain; charset=utf-8"


class _Server(ThreadingHTTPServer):
    """One listening socket."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: str, port: int, pages: _Pages) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.pages = pages
        self._free = threading.Semaphore(MOST_CONNECTIONS)
        try:
            super().__init__((address, port), _Handler)
        except OSError as error:
            text = f"the page's address, {address} port {port}: {error.strerror} (SHARDMAP_HTTP_PORT)"
            raise OSError(error.errno, text) from None

    def server_bind(self) -> None:
        """Without looking the host's name up, which may take long."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="shardmap-http-request",
            daemon=True,
        )
        try:
            thread.start()
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # As socketserver has it.
        """Clients come and go; what else fails is a line in the log."""
        _log.debug("HTTP, %s", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "shardmap"
    sys_version = ""
    timeout = DEADLINE
    server: _Server

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        pages = self.server.pages
        path = self.path.partition("?")[0]
        extra = {}
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            # Nothing here takes a body; what follows could be taken for the next request.
            self.close_connection = True
        if not pages.is_ours(self.headers.get("Host", "")):
            status, body, kind = _text(
                HTTPStatus.MISDIRECTED_REQUEST, "no name of this server; SHARDMAP_HTTP_HOSTS adds names"
            )
        elif not pages.is_allowed(path, self.headers.get("Authorization", "")):
            status, body, kind = _text(HTTPStatus.UNAUTHORIZED, "the password is needed")
            extra["WWW-Authenticate"] = 'Basic realm="shardmap", charset="UTF-8"'
        else:
            try:
                status, body, kind = pages.reply(path, self.headers.get("Accept", ""))
            except Exception:
                _log.exception("%s failed", path)
                status, body, kind = _text(HTTPStatus.INTERNAL_SERVER_ERROR, "failed; the log says why")
        with suppress(ConnectionError, TimeoutError):
            self.send_response(status)
            for name, value in {**HEADERS, **extra}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # As http.server has it.
        _log.debug("%s " + format, self.address_string(), *args)
