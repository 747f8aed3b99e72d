"""Mutations of what clients send: of single bytes, of lengths, of words; and commands put together anew.

An input's first byte says where it is cut into pieces (`server_target.py`, `parser_target.py`); the rest is what is sent.
"""

from __future__ import annotations

import random

__all__ = ["mutated", "repaired"]

#: Nothing has to be made right in a protocol without checksums.
repaired = None


WORDS = [
    word.encode()
    for word in (
        "GET SET DEL EXISTS MGET MSET MSETNX APPEND STRLEN SETRANGE GETRANGE INCR INCRBY INCRBYFLOAT DECRBY EXPIRE PEXPIREAT "
        "TTL PERSIST RENAME COPY SCAN KEYS RANDOMKEY DBSIZE FLUSHALL MULTI EXEC DISCARD WATCH UNWATCH HELLO AUTH CLIENT "
        "SETNAME SETINFO OBJECT ENCODING MEMORY USAGE TYPE TOUCH GETEX GETDEL DELIFEQ EVALSHA PING ECHO QUIT RESET SELECT "
        "INFO CONFIG NX XX GT LT EX PX EXAT PXAT KEEPTTL IFEQ MATCH COUNT REPLACE DB a b c key 0 1 -1 2 3 10 65535 4294967296 "
        "9223372036854775807 -9223372036854775808 1e308 nan [a-z] * ? \\ [^ a*a*a*b"
    ).split()
]
#: Lengths where something changes, or that say more than there is.
LENGTHS = [0, 1, 2, 9, 10, 11, 99, 100, 16384, 16385, 65536, 1048576, 1048577, 536870912, 1 << 31, 1 << 63, -1, -2]


def mutated(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """One to four changes, some of which take a part of the other one."""
    made = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 4])):
        rng.choice(_CHANGES)(made, other, rng)
    return bytes(made)


def _place(made: bytearray, rng: random.Random) -> int:
    return rng.randrange(len(made) + 1)


def _flip(made: bytearray, _other: bytes, rng: random.Random) -> None:
    if made:
        made[rng.randrange(len(made))] = rng.randrange(256)


def _cut(made: bytearray, _other: bytes, rng: random.Random) -> None:
    first = _place(made, rng)
    del made[first : first + rng.randrange(16)]


def _splice(made: bytearray, other: bytes, rng: random.Random) -> None:
    first, at = rng.randrange(len(other) + 1), _place(made, rng)
    made[at:at] = other[first : first + rng.randrange(64)]


def _command(made: bytearray, _other: bytes, rng: random.Random) -> None:
    """A command that may be one."""
    words = [rng.choice(WORDS) for _ in range(rng.randrange(1, 7))]
    at = _place(made, rng) if rng.random() < 0.3 else len(made)
    if rng.random() < 0.2:
        made[at:at] = b" ".join(words) + b"\r\n"
    else:
        made[at:at] = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _length(made: bytearray, _other: bytes, rng: random.Random) -> None:
    """Another number behind a ``*`` or a ``$``."""
    places = [at for at, octet in enumerate(made) if octet in b"*$"]
    if not places:
        return
    at = rng.choice(places)
    end = made.find(b"\r", at)
    made[at + 1 : end if end > 0 else at + 1] = b"%d" % rng.choice(LENGTHS)


_CHANGES = [_flip, _cut, _splice, _command, _command, _command, _length]
