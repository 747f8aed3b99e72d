"""Entries between a running server and a snapshot file, over the network: ``shardmap dump`` and ``shardmap load``.

A dump has every entry that was there throughout; each is read together with its time to live, in a transaction. The
file is complete or not there, as ByteMap.dump has it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from shardmap.bytemap import ByteMap
from shardmap.frozen import open_snapshot
from shardmap.service.client import Client, ReplyError

__all__ = ["describe", "download", "upload"]

#: Keys of one SCAN, and of one pipeline.
BATCH = 512
#: Bytes of one pipeline of writes, or one entry.
MOST_BYTES = 4 << 20

Report = Callable[[int], None]


def download(client: Client, path: str, report: Report) -> int:
    """Write the entries of a server to a file; how many there were. *report* is called with how many are there."""
    entries = ByteMap(max_memory=0)
    cursor = b"0"
    while True:
        cursor, keys = client.call("SCAN", cursor, "COUNT", BATCH)
        _fetch(client, keys, entries)
        report(len(entries))
        if cursor == b"0":
            break
    return entries.dump(path)


def _fetch(client: Client, keys: list[bytes], entries: ByteMap) -> None:
    commands = []
    for key in keys:
        commands += [("MULTI",), ("GET", key), ("PTTL", key), ("EXEC",)]
    replies = client.pipeline(commands)
    for key, reply in zip(keys, replies[3::4], strict=True):
        if isinstance(reply, ReplyError):
            raise reply
        value, milliseconds = reply
        for each in (value, milliseconds):
            if isinstance(each, ReplyError):
                raise ReplyError(f"{each} (the key {key!r})")
        # Gone since SCAN has named it.
        if value is None or milliseconds == -2:
            continue
        entries.set(key, value, timedelta(milliseconds=max(1, milliseconds)) if milliseconds >= 0 else None)


def upload(client: Client, path: str, report: Report, *, keep: bool) -> tuple[int, int]:
    """Set the entries of a file; how many were sent, and how many of these the server had and kept."""
    entries = ByteMap(max_memory=0)
    entries.load(path)
    sent = kept = 0
    for batch in _batches(_commands(entries, keep)):
        for reply in client.pipeline(batch):
            if isinstance(reply, ReplyError):
                raise reply
            kept += reply is None
        sent += len(batch)
        report(sent)
    return sent, kept


def _commands(entries: ByteMap, keep: bool) -> Iterator[tuple[bytes | str | int, ...]]:
    for key, value in entries.items():
        seconds = entries.ttl(key)
        if seconds is None and key not in entries:
            continue
        command: tuple[bytes | str | int, ...] = ("SET", key, value)
        if seconds is not None:
            command += ("PX", max(1, round(seconds * 1000)))
        yield (*command, "NX") if keep else command


def _batches(
    commands: Iterator[tuple[bytes | str | int, ...]],
) -> Iterator[list[tuple[bytes | str | int, ...]]]:
    batch: list[tuple[bytes | str | int, ...]] = []
    size = 0
    for command in commands:
        batch.append(command)
        size += sum(len(part) for part in command if isinstance(part, bytes))
        if len(batch) >= BATCH or size >= MOST_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def describe(path: str) -> dict[str, str]:
    """What a file holds, after checking all of it. :class:`shardmap.SnapshotError` for a damaged one."""
    with open_snapshot(path) as snapshot:
        snapshot.verify()
        keys = values = 0
        for key, value in snapshot.items():
            keys += len(key)
            values += len(value)
        created = time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(snapshot.created))
        return {
            "created": created,
            "entries": str(len(snapshot)),
            "bytes of keys": str(keys),
            "bytes of values": str(values),
            "checksums": "all right",
        }
