"""The command ``shardmap``: serve, top, bench, dump, load, info.

Exit codes: 0, all went well; 1, it could not be done (an address that is taken, a damaged file, no answer); 2, wrong
usage or a setting that is not allowed; 130, interrupted (``serve`` stops cleanly then, and ends with 0).
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from shardmap import __version__
from shardmap.errors import ConfigError, SnapshotError
from shardmap.service import settings as known
from shardmap.service.client import Client, ReplyError
from shardmap.service.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shardmap.service.server import Server

__all__ = ["main"]

FAILED = 1
USAGE = 2

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

_EPILOG = """\
Each option of `serve` has an environment variable; the option beats the variable. Completion of commands and options
in the shell: eval "$(_SHARDMAP_COMPLETE=bash_source shardmap)" (or zsh_source, fish_source).
"""


class _Group(click.Group):
    """With errors as one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _fail(str(error), USAGE)
        except ModuleNotFoundError as error:
            _fail(f"this needs {error.name}: pip install 'shardmap[service]'", FAILED)
        except (OSError, SnapshotError, ReplyError, MemoryError) as error:
            if isinstance(error, BrokenPipeError) and not error.filename:
                raise
            _fail(_reason(error), FAILED)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error) or type(error).__name__


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"shardmap: {text}", err=True)
    sys.exit(code)


@click.group(cls=_Group, context_settings=_CONTEXT, epilog=_EPILOG)
@click.version_option(__version__, prog_name="shardmap")
def main() -> None:
    """A concurrent map of bytes that any Redis client speaks to."""


# -- serve ----------------------------------------------------------------------------------------------------------


def _documented(setting: Setting) -> str:
    """The help of a setting's option."""
    return f"{setting.help}  [{setting.variable}; default: {setting.default_text}]"


def _setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """An option for each setting. Values stay text here: the settings read them, and say what is wrong."""
    for setting in reversed(SETTINGS.values()):
        multiple = setting.name in ("bind", "http_hosts")
        command = click.option(
            setting.option, setting.name, metavar=setting.kind.metavar, multiple=multiple, help=_documented(setting)
        )(command)
    return command


@main.command()
@_setting_options
@click.option(
    "--password-file",
    metavar="FILE",
    help="File whose first line is the password.  [SHARDMAP_PASSWORD_FILE; default: none]",
)
@click.option("-q", "--quiet", is_flag=True, help="Print no more than errors.")
@click.option("-v", "--verbose", is_flag=True, help="Log requests of the page, too.")
def serve(password_file: str | None, quiet: bool, verbose: bool, **texts: Any) -> None:
    """Start the service. SIGTERM and Ctrl-C stop it, after its snapshot if there is a path for one."""
    from shardmap.service.server import Server  # noqa: PLC0415  # Not for --help.

    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    server = Server(**_arguments(password_file, texts))
    with _stopped_by_signals(server) as noted:
        server.start()
        if not quiet:
            _announce(server)
        if noted:
            server.request_stop()
        server.serve_forever()


def _arguments(password_file: str | None, texts: dict[str, Any]) -> Any:
    """What Server() takes, of the options as they were written."""
    arguments: dict[str, Any] = {}
    for name, text in texts.items():
        if text in (None, ()):
            continue
        setting = SETTINGS[name]
        arguments[name] = setting.parse(" ".join(text) if isinstance(text, tuple) else text, setting.option)
    if password_file is not None:
        if "password" in arguments:
            raise ConfigError("--password and --password-file are both given: allowed is one of them")
        arguments["password"] = known.password_from(password_file, "--password-file")
    return arguments


@contextmanager
def _stopped_by_signals(server: Server) -> Iterator[list[int]]:
    """SIGTERM and SIGINT ask the server to stop, and are noted: it may not have started yet."""
    noted: list[int] = []

    def stop(number: int, _frame: object) -> None:
        noted.append(number)
        server.request_stop()

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield noted
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _announce(server: Server) -> None:
    """Where it listens, and how to connect."""
    settings, addresses = server.settings, server.addresses
    if not addresses:
        # Somebody has stopped it already.
        return
    ask = " --askpass" if settings.password else ""
    lines = [f"shardmap listens on {address}" for address in addresses]
    first = addresses[0]
    if first.startswith("/") or ":" not in first:
        lines.append(f"  connect: redis-cli -s {first}{ask}")
    else:
        host, _, port = first.rpartition(":")
        host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
        at = "" if host == "127.0.0.1" else f"-h {host} "
        lines.append(f"  connect: redis-cli {at}-p {port}{ask}")
    lines += [f"  page:    {url}" for url in server.http_addresses]
    if settings.snapshot_path:
        lines.append(f"  snapshot: {settings.snapshot_path}")
    lines.append("  stop:    Ctrl-C")
    click.echo("\n".join(lines))
    sys.stdout.flush()


# -- of a server that runs ------------------------------------------------------------------------------------------


def _connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Where the server is."""
    port, unix_socket, password = SETTINGS["port"], SETTINGS["unix_socket"], SETTINGS["password"]
    options = [
        click.option("--host", default="127.0.0.1", show_default=True, help="Address or name of the server."),
        click.option("--port", metavar="N", help=f"Its port.  [{port.variable}; default: {port.default_text}]"),
        click.option("--unix-socket", metavar="PATH", help=f"Its Unix socket, instead.  [{unix_socket.variable}]"),
        click.option("--password", metavar="PASSWORD", help=f"Its password.  [{password.variable}]"),
        click.option(
            "--password-file",
            metavar="FILE",
            help=f"File whose first line is the password.  [{password.variable}_FILE]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _connect(options: dict[str, Any]) -> Callable[[], Client]:
    """A function that connects to the server that the options name."""
    texts = {name: options.pop(name) for name in ("port", "unix_socket", "password")}
    host, password_file = options.pop("host"), options.pop("password_file")
    resolved = known.Settings.resolve(_arguments(password_file, texts))
    # A port that is asked for is meant, whatever the environment has.
    unix_socket = "" if texts["port"] is not None and texts["unix_socket"] is None else resolved.unix_socket
    where = unix_socket or f"{host}:{resolved.port}"

    def connect() -> Client:
        try:
            return Client(host, resolved.port, unix_socket=unix_socket, password=resolved.password)
        except OSError as error:
            raise ConnectionError(f"{where} does not answer: {error.strerror or error}") from None

    return connect


def _number(least: int, most: int) -> click.IntRange:
    return click.IntRange(least, most)


@main.command()
@_connection_options
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds.")
@click.option("--count", type=_number(1, 1 << 30), help="How often, instead of until Ctrl-C.")
def top(interval: float, count: int | None, **options: Any) -> None:
    """Show live what a running service does."""
    from shardmap.service.top import show  # noqa: PLC0415  # Only here is rich needed.

    show(_connect(options), interval, count)


@main.command()
@_connection_options
@click.option("-c", "--clients", default=50, show_default=True, type=_number(1, 10_000), help="Connections.")
@click.option("-P", "--pipeline", default=16, show_default=True, type=_number(1, 10_000), help="Commands at a time.")
@click.option("-n", "--requests", default=100_000, show_default=True, type=_number(1, 1 << 40), help="In all.")
@click.option("-r", "--keys", default=100_000, show_default=True, type=_number(1, 10**12), help="Different keys.")
@click.option("-d", "--size", default=64, show_default=True, type=_number(0, 1 << 24), help="Bytes of a value.")
@click.option("--ratio", default=0.9, show_default=True, type=click.FloatRange(0, 1), help="The share of GET.")
def bench(clients: int, pipeline: int, requests: int, keys: int, size: int, ratio: float, **options: Any) -> None:
    """Load a running service with GET and SET of random keys (key:000000000042), and measure."""
    from shardmap.service.bench import Plan, percentile, run  # noqa: PLC0415  # Not for the others.

    plan = Plan(clients, pipeline, requests, keys, size, ratio)
    result = run(plan, _connect(options), lambda done, seconds: _progress(f"{done:,} of {requests:,}", done / seconds))
    _progress("")
    click.echo(f"{result.requests:,} requests in {result.seconds:.2f} s, {clients} clients, {pipeline} in a pipeline")
    click.echo(f"{result.requests / max(result.seconds, 1e-9):,.0f} operations a second")
    what = "round trip" if pipeline == 1 else "round trip of a pipeline"
    shares = ", ".join(
        f"p{share * 100:g} {percentile(result.times, share) * 1000:.3f} ms" for share in (0.5, 0.99, 0.999)
    )
    click.echo(f"{what}: {shares}")
    if result.errors:
        _fail(f"{result.errors:,} error replies, the first: {result.first_error}", FAILED)


def _progress(text: str, rate: float | None = None) -> None:
    """A line that is written over, for people only."""
    if sys.stderr.isatty():
        click.echo("\r\x1b[K" + text + (f"  {rate:,.0f}/s" if rate is not None else ""), nl=False, err=True)


@main.command()
@_connection_options
@click.argument("file", type=click.Path(dir_okay=False))
def dump(file: str, **options: Any) -> None:
    """Write the entries of a running service into a snapshot FILE here."""
    from shardmap.service.transfer import download  # noqa: PLC0415  # Not for the others.

    with _connect(options)() as client:
        written = download(client, file, lambda done: _progress(f"{done:,} entries"))
    _progress("")
    click.echo(f"{written:,} entries to {file}")


@main.command()
@_connection_options
@click.option("--keep", is_flag=True, help="Leave entries alone that the service has already.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
def load(file: str, keep: bool, **options: Any) -> None:
    """Send the entries of a snapshot FILE to a running service."""
    from shardmap.service.transfer import upload  # noqa: PLC0415  # Not for the others.

    with _connect(options)() as client:
        sent, kept = upload(client, file, lambda done: _progress(f"{done:,} entries"), keep=keep)
    _progress("")
    click.echo(f"{sent - kept:,} entries from {file}" + (f", {kept:,} were there" if keep else ""))


@main.command()
@_connection_options
@click.option("-s", "--section", multiple=True, help="Only this section of INFO; may come several times.")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
def info(file: str | None, section: tuple[str, ...], **options: Any) -> None:
    """Print INFO of a running service or, given a FILE, what a snapshot holds, checking all of it."""
    from shardmap.service.transfer import describe  # noqa: PLC0415  # Not for the others.

    if file is not None:
        for name, value in describe(file).items():
            click.echo(f"{name}: {value}")
        return
    with _connect(options)() as client:
        click.echo(client.call("INFO", *section).decode("utf-8", "replace").replace("\r\n", "\n"), nl=False)
