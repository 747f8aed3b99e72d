"""ShardMap.dump and load: round trips through codecs of all kinds, what is refused, and a map that stays as it was."""

from __future__ import annotations

import json
import marshal
import pickle
from pathlib import Path
from typing import Any

import pytest

from shardmap import ByteMap, ShardMap, SnapshotError, open_snapshot

JSON = (lambda thing: json.dumps(thing).encode(), json.loads)
ENTRIES: dict[Any, Any] = {"a": 1, "b": [1, 2, {"c": None}], "ü": "ß", "": ""}


class Text:
    """A codec by the names of its functions."""

    @staticmethod
    def dumps(thing: str, /) -> bytes:
        return thing.encode()

    @staticmethod
    def loads(data: bytes, /) -> str:
        return data.decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries"


def test_a_pair_of_functions(path: Path) -> None:
    assert ShardMap(ENTRIES).dump(path, codec=JSON) == len(ENTRIES)
    loaded = ShardMap[Any, Any]()
    assert loaded.load(path, codec=JSON) == len(ENTRIES)
    assert loaded == ENTRIES


def test_an_object_with_dumps_and_loads(path: Path) -> None:
    ShardMap({"key": "value"}).dump(path, codec=Text)
    loaded = ShardMap[str, str]({"own": "stays", "key": "goes"})
    assert loaded.load(path, codec=Text) == 1
    assert loaded == {"own": "stays", "key": "value"}


def test_it_is_a_snapshot_like_any_other(path: Path) -> None:
    ShardMap({"key": "value"}).dump(path, codec=Text)
    assert dict(open_snapshot(path)) == {b"key": b"value"}
    ByteMap({b"more": b"bytes"}).dump(path)
    loaded = ShardMap[str, str]()
    loaded.load(path, codec=Text)
    assert loaded == {"more": "bytes"}


@pytest.mark.parametrize("codec", [pickle, (pickle.dumps, pickle.loads), marshal, (marshal.dumps, marshal.loads)])
def test_what_runs_anything_has_to_be_trusted_by_name(path: Path, codec: Any) -> None:
    ShardMap(ENTRIES).dump(path, codec=codec)
    loaded = ShardMap[Any, Any]({"own": 1})
    with pytest.raises(ValueError, match="trusted_codec"):
        loaded.load(path, codec=codec)
    assert loaded == {"own": 1}
    assert loaded.load(path, trusted_codec=codec) == len(ENTRIES)
    assert loaded == {"own": 1, **ENTRIES}


@pytest.mark.parametrize("codecs", [{}, {"codec": JSON, "trusted_codec": JSON}])
def test_one_codec(path: Path, codecs: dict[str, Any]) -> None:
    ShardMap(ENTRIES).dump(path, codec=JSON)
    with pytest.raises(TypeError, match="either codec= or"):
        ShardMap[Any, Any]().load(path, **codecs)


@pytest.mark.parametrize("codec", [None, 1, (json.dumps,), (json.dumps, None), "pickle"])
def test_what_is_no_codec(path: Path, codec: Any) -> None:
    with pytest.raises(TypeError, match="a codec is a pair of functions"):
        ShardMap(ENTRIES).dump(path, codec=codec)
    assert not path.exists()


def test_text_is_not_bytes(path: Path) -> None:
    codec: Any = json
    with pytest.raises(TypeError, match="to str, not bytes"):
        ShardMap(ENTRIES).dump(path, codec=codec)
    assert not path.exists()


def test_keys_that_become_one(path: Path) -> None:
    ShardMap({"old": 1}).dump(path, codec=JSON)
    mixed: dict[Any, Any] = {1: "number", "1": "text"}
    with pytest.raises(ValueError, match="the same bytes"):
        ShardMap(mixed).dump(path, codec=(lambda thing: str(thing).encode(), bytes.decode))
    assert dict(open_snapshot(path)) == {b'"old"': b"1"}


def test_what_a_codec_raises(path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        ShardMap({"key": object()}).dump(path, codec=JSON)
    assert not path.exists()
    ByteMap({b'"good"': b"1", b"bad": b"2"}).dump(path)
    loaded = ShardMap[Any, Any]({"own": 1})
    with pytest.raises(ValueError, match="Expecting value"):
        loaded.load(path, codec=JSON)
    assert loaded == {"own": 1}


def test_a_damaged_file(path: Path) -> None:
    ShardMap(ENTRIES).dump(path, codec=JSON)
    data = bytearray(path.read_bytes())
    data[70] ^= 1
    path.write_bytes(data)
    loaded = ShardMap[Any, Any]({"own": 1})
    with pytest.raises(SnapshotError) as caught:
        loaded.load(path, codec=JSON)
    assert caught.value.path == str(path)
    assert loaded == {"own": 1}


def test_the_bound_of_byte_maps_is_none_of_these_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARDMAP_MAX_MEMORY", "64kb")
    entries = {str(number): "x" * 100 for number in range(2000)}
    ShardMap(entries).dump(path, codec=Text)
    loaded = ShardMap[str, str]()
    loaded.load(path, codec=Text)
    assert loaded == entries
