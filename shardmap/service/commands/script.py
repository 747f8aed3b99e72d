"""SCRIPT and EVAL: the three scripts of redis-py's ``Lock`` are known, and the core runs them; there are no others."""

from __future__ import annotations

from shardmap._core import CoreServer
from shardmap.service.commands.registry import CommandError, Request, command, integer, words
from shardmap.service.state import State

__all__ = ["KNOWN", "evaluate", "exists", "flush", "kill", "load"]

# SHA-1 of the scripts with which redis-py's Lock releases, extends and takes again, the same since its version 3.
RELEASE = "c3f8721cbb97f72bc19e972846bd7aaf91901658"
EXTEND = "a4e8783852e6b949f9ef3a97212805108459a890"
REACQUIRE = "1cac51482acf5858da00f6d685d68f886cd6b6b2"

KNOWN = frozenset({RELEASE, EXTEND, REACQUIRE})

CoreServer.know_scripts(RELEASE, EXTEND, REACQUIRE)


def _digest(script: bytes) -> str:
    # OpenSSL comes with it, 4 MB that a service seldom needs.
    import hashlib  # noqa: PLC0415

    return hashlib.sha1(script, usedforsecurity=False).hexdigest()


@command("SCRIPT LOAD", "<script>", least=1, most=1)
def load(_: State, request: Request) -> bytes:
    """Return the SHA-1 of a script that the service knows."""
    digest = _digest(request.arguments[0])
    if digest not in KNOWN:
        raise CommandError("ERR scripting is not supported; only the scripts of redis-py's Lock are known")
    return digest.encode()


@command("EVAL", "<script> <numkeys> <key> <token> [<milliseconds> [<replace>]]", least=2)
def evaluate(state: State, request: Request) -> int:
    """Run a script that the service knows."""
    digest = _digest(request.arguments[0])
    if digest not in KNOWN:
        raise CommandError("ERR scripting is not supported; only the scripts of redis-py's Lock are known")
    keys, *arguments = request.arguments[1:]
    wanted = {RELEASE: 2, EXTEND: 4, REACQUIRE: 3}[digest]
    if integer(keys, "ERR value is not an integer or out of range") != 1 or len(arguments) < wanted:
        raise CommandError("ERR wrong number of keys or arguments for this script")
    duration = 0 if digest == RELEASE else integer(arguments[2], "ERR value is not an integer or out of range")
    adds = digest == EXTEND and arguments[3] == b"0"
    try:
        return state.core.run_script(digest, arguments[0], arguments[1], duration, adds)
    except ValueError:
        raise CommandError("ERR invalid expire time in 'eval' command") from None
    except MemoryError:
        raise CommandError("OOM command not allowed when used memory > 'maxmemory'.") from None


@command("SCRIPT EXISTS", "<sha1> [<sha1> ...]", least=1)
def exists(_: State, request: Request) -> list[int]:
    """Return which scripts are known, for each SHA-1."""
    return [int(digest.decode("ascii", "replace").lower() in KNOWN) for digest in request.arguments]


@command("SCRIPT FLUSH", "[ASYNC|SYNC]", most=1)
def flush(_: State, request: Request) -> str:
    """Forget scripts; those that are known stay so."""
    if words(request.arguments) not in ([], ["ASYNC"], ["SYNC"]):
        raise CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    return "OK"


@command("SCRIPT KILL", most=0)
def kill(_: State, __: Request) -> str:
    """Kill the running script; there is none that takes time."""
    raise CommandError("NOTBUSY No scripts in execution right now.")
