"""What a fuzzer asks about one input that a client might send: nothing crashes, and the cuts do not matter.

The input is sent in one piece and, to another store, in pieces; the same has to come back. The first byte says how long
the pieces are. Times and numbers of clients differ from one to the next, so that commands that tell these are left out.
"""

from __future__ import annotations

from typing import Any

from rehearsing import rehearsal

from shardmap import ByteMap

__all__ = ["one_input"]

#: What a conversation may leave behind in a store before it is emptied.
_MOST = 1 << 22
#: Bytes that differ from run to run where these are in the input.
_UNSTABLE = (b"time", b"client", b"hello", b"randomkey", b"scan", b"keys", b"ttl", b"object", b"memory", b"ex", b"px")


class Stage:
    """A store, and the service's core on it."""

    def __init__(self) -> None:
        self.byte_map: Any = ByteMap(shards=2, max_memory=8 << 20)
        self._rehearsal = rehearsal(self.byte_map, max_bulk=1 << 20, max_arguments=1 << 12)

    def converse(self, chunks: list[bytes]) -> tuple[bytes, bool]:
        """What comes back, and whether the connection was closed; on an empty store."""
        self.byte_map.clear()
        return self._rehearsal.converse(chunks)


_whole, _pieces = Stage(), Stage()
_inputs = 0


def one_input(data: bytes | memoryview) -> str:
    """Have both conversations; AssertionError if they differ. What kind of conversation it was, roughly."""
    global _inputs  # noqa: PLW0603
    _inputs += 1
    text = bytes(data)
    size, sent = 1 + (text[0] if text else 0) % 40, text[1:]
    whole, closed = _whole.converse([sent])
    if len(sent) < _MOST:
        cut, cut_closed = _pieces.converse([sent[at : at + size] for at in range(0, len(sent), size)])
        if not any(word in sent.lower() for word in _UNSTABLE):
            assert (whole, closed) == (cut, cut_closed), (whole, cut)
    if _inputs % 1024 == 0:
        _whole.byte_map._check()
        _pieces.byte_map._check()
    return "" if b"-ERR" not in whole else bytes(sorted(set(whole[:64]))).decode("latin-1")
