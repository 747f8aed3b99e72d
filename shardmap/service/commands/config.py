"""CONFIG: the settings, under Redis's names, read and changed while the service runs."""

from __future__ import annotations

from shardmap.errors import ConfigError
from shardmap.service.commands.globs import matches
from shardmap.service.commands.registry import CommandError, Request, command
from shardmap.service.parameters import BY_PARAMETER, parameters
from shardmap.service.settings import SETTINGS
from shardmap.service.state import State

__all__ = ["get", "resetstat", "rewrite", "set_"]


@command("CONFIG GET", "<pattern> [<pattern> ...]", least=1)
def get(state: State, request: Request) -> dict[bytes, bytes]:
    """Return parameters matching the glob-like patterns, and their values."""
    patterns = [pattern[:256].decode("utf-8", "replace") for pattern in request.arguments]
    shown = parameters(state.settings)
    # Our own names are understood, and not listed twice.
    for name in patterns:
        if (setting := SETTINGS.get(BY_PARAMETER.get(name.lower(), ""))) is not None:
            shown.setdefault(name.lower(), shown[setting.parameter])
    return {
        name.encode(): value.encode("utf-8", "surrogateescape")
        for name, value in shown.items()
        if any(matches(pattern, name) for pattern in patterns)
    }


@command("CONFIG SET", "<directive> <value> [<directive> <value> ...]", least=2)
def set_(state: State, request: Request) -> str:
    """Set parameters to values, all of them or, if one is not allowed, none."""
    texts = [argument.decode("utf-8", "surrogateescape") for argument in request.arguments]
    if len(texts) % 2:
        raise CommandError("ERR wrong number of arguments for 'config|set' command")
    changes: dict[str, object] = {}
    parameter = ""
    for parameter, text in zip(texts[::2], texts[1::2], strict=True):
        name = BY_PARAMETER.get(parameter.lower())
        if name is None:
            if parameter.lower() in parameters(state.settings):
                raise _failed(parameter, "can't set immutable config")
            raise CommandError(f"ERR Unknown option or number of arguments for CONFIG SET - '{parameter[:128]}'")
        if name in changes:
            raise _failed(parameter, "duplicate parameter")
        if not SETTINGS[name].hot:
            raise _failed(parameter, "can't set immutable config")
        try:
            changes[name] = SETTINGS[name].parse(text, parameter)
        except ConfigError as error:
            raise _failed(parameter, str(error)) from None
    try:
        state.configuration.change(changes)
    except (ConfigError, MemoryError) as error:
        raise _failed(parameter, str(error)) from None
    return "OK"


def _failed(parameter: str, reason: str) -> CommandError:
    text = f"ERR CONFIG SET failed (possibly related to argument '{parameter[:128]}') - {reason}"
    return CommandError(text.replace("\r", " ").replace("\n", " "))


@command("CONFIG RESETSTAT", most=0)
def resetstat(state: State, _: Request) -> str:
    """Reset statistics reported by the INFO command."""
    state.reset_statistics()
    return "OK"


@command("CONFIG REWRITE", most=0)
def rewrite(_: State, __: Request) -> str:
    """Rewrite the configuration file; there is none."""
    raise CommandError("ERR The server is running without a config file")
