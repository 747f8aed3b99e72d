"""Files of Python objects: a ShardMap's entries as bytes, through functions that the caller chooses.

A *codec* is a pair of functions ``(encode, decode)``, object to bytes and bytes to object, or anything that has them as
``dumps`` and ``loads``: a module such as ``pickle``, or msgpack's. Those that can be made to run any code by the bytes
that they decode are only taken under the name ``trusted_codec``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from shardmap import snapshot
from shardmap.bytemap import ByteMap

__all__ = ["Codec", "Dumps", "dump", "load"]

Encode = Callable[[Any], Any]
Decode = Callable[[bytes], Any]

#: Modules of the standard library and beside it whose loads() runs, or may be led to run, what the bytes say.
_RUNS_ANYTHING = {"pickle", "_pickle", "cPickle", "marshal", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml"}


class Dumps(Protocol):
    """A codec as modules are ones."""

    def dumps(self, thing: Any, /) -> bytes: ...
    def loads(self, data: bytes, /) -> Any: ...


Codec = tuple[Encode, Decode] | Dumps


def dump(entries: Iterable[tuple[Any, Any]], path: snapshot.StrPath, codec: Codec) -> int:
    """Write entries to a file; how many there were."""
    encode, _ = _functions(codec)
    made = ByteMap(max_memory=0)
    for key, value in entries:
        if not made.insert(_encoded(encode, key), _encoded(encode, value)):
            raise ValueError(f"the codec makes the same bytes of {key!r} as of another key")
    return made.dump(path)


def load(path: snapshot.StrPath, codec: Codec | None, trusted_codec: Codec | None) -> Iterator[tuple[Any, Any]]:
    """The entries of a file, which is read and checked as a whole before the first is decoded."""
    if (codec is None) == (trusted_codec is None):
        raise TypeError("load() takes either codec= or, for files that nobody else can have written, trusted_codec=")
    if codec is not None:
        _check_harmless(codec)
    _, decode = _functions(codec if codec is not None else trusted_codec)
    found = ByteMap(max_memory=0)
    found.load(path)
    return ((decode(key), decode(value)) for key, value in found.items())


def _functions(codec: Any) -> tuple[Encode, Decode]:
    if isinstance(codec, tuple) and len(codec) == 2 and all(callable(function) for function in codec):
        return codec
    functions = getattr(codec, "dumps", None), getattr(codec, "loads", None)
    if not all(callable(function) for function in functions):
        raise TypeError(f"a codec is a pair of functions (encode, decode) or has dumps() and loads(), not {codec!r}")
    return functions  # type: ignore[return-value]


def _check_harmless(codec: Any) -> None:
    parts = codec if isinstance(codec, tuple) else (codec, getattr(codec, "loads", None))
    for part in parts:
        name = getattr(part, "__module__", None) or getattr(part, "__name__", "")
        if str(name).partition(".")[0] in _RUNS_ANYTHING:
            raise ValueError(
                f"{name} runs whatever the file says: pass it as trusted_codec=, for files that nobody else can have "
                "written"
            )


def _encoded(encode: Encode, thing: Any) -> Any:
    data = encode(thing)
    if isinstance(data, str):
        raise TypeError("the codec encodes to str, not bytes; make it (lambda x: json.dumps(x).encode(), json.loads)")
    return data
