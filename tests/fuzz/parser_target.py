"""What a fuzzer asks of the protocol's parser about one input: it does not matter in which pieces it arrives, and what
is not there takes no memory.

Nothing is run, so that this goes through many more inputs than `server_target.py`. The input is parsed as one piece,
byte by byte, and in pieces as long as the first byte says; for a client that has authenticated or not, which is the
first byte's lowest bit.
"""

from __future__ import annotations

from rehearsing import rehearsal

from shardmap import ByteMap

__all__ = ["one_input"]

#: Arguments there is room for in a request without any, and for each that came: the room doubles.
_LEAST_ROOM, _MOST_ROOM = 16, 2


_parse = rehearsal(ByteMap(shards=1), max_bulk=1 << 29, max_arguments=1 << 20).parse


def one_input(data: bytes | memoryview) -> str:
    """AssertionError if the pieces matter. What came of it, roughly."""
    first = data[0] if data else 0
    sent, known = data[1:], bool(first & 1)
    whole = _parse(sent, len(sent) or 1, known)
    for step in (1, 1 + first // 2):
        cut = _parse(sent, step, known)
        assert cut[:3] == whole[:3], (step, cut, whole)
    # An argument takes four bytes at least: "$0\r\n" and the end of it, or a letter and a space.
    assert whole[3] <= _LEAST_ROOM + _MOST_ROOM * len(sent), whole
    return f"{whole[2]}" if whole[2] else ""
