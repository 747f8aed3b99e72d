"""SAVE, BGSAVE, LASTSAVE and SHUTDOWN."""

from __future__ import annotations

from shardmap.service.commands.registry import NO_REPLY, CommandError, Request, Then, command, words
from shardmap.service.snapshots import NoSnapshotPathError, SaveInProgressError
from shardmap.service.state import State

__all__ = ["bgsave", "lastsave", "save", "shutdown"]


@command("SAVE", most=0, slow=True)
def save(state: State, _: Request) -> str:
    """Write the snapshot; the others go on meanwhile."""
    try:
        state.snapshots.save()
    except (SaveInProgressError, NoSnapshotPathError, OSError, MemoryError) as error:
        raise CommandError(f"ERR {_one_line(error)}") from None
    return "OK"


@command("BGSAVE", "[SCHEDULE]", most=1)
def bgsave(state: State, request: Request) -> str:
    """Begin to write the snapshot."""
    if words(request.arguments) not in ([], ["SCHEDULE"]):
        raise CommandError("ERR syntax error")
    try:
        state.snapshots.save_in_background()
    except (SaveInProgressError, NoSnapshotPathError, OSError, RuntimeError) as error:
        raise CommandError(f"ERR {_one_line(error)}") from None
    return "Background saving started"


@command("LASTSAVE", most=0)
def lastsave(state: State, _: Request) -> int:
    """When the last good snapshot was written."""
    return int(state.snapshots.last_save)


@command("SHUTDOWN", "[NOSAVE|SAVE] [NOW] [FORCE] [ABORT]", most=4, slow=True)
def shutdown(state: State, request: Request) -> object:
    """Stop the service; it has no reply if it does, as in Redis."""
    options = words(request.arguments)
    if set(options) - {"NOSAVE", "SAVE", "NOW", "FORCE", "ABORT"} or {"NOSAVE", "SAVE"} <= set(options):
        raise CommandError("ERR syntax error")
    if "ABORT" in options:
        if len(options) > 1:
            raise CommandError("ERR syntax error")
        raise CommandError("ERR No shutdown in progress.")
    saves = "NOSAVE" not in options and (bool(state.snapshots.path) or "SAVE" in options)
    if state.loading:
        # The file has more than the map.
        saves = False
    if saves:
        # Before anything is stopped: without a snapshot the service goes on, and nothing is lost.
        try:
            state.snapshots.save(wait=True)
        except (NoSnapshotPathError, OSError, MemoryError) as error:
            if "FORCE" not in options:
                raise CommandError(f"ERR Errors trying to SHUTDOWN. Check logs. ({_one_line(error)})") from None
            saves = False

    def stop() -> None:
        state.core.kill(request.client)
        # Once more: what is written from here on until the last client is gone.
        state.shut_down(saves)

    return Then(NO_REPLY, stop)


def _one_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).replace("\r", " ").replace("\n", " ")
