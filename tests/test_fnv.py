"""FNV-1a, 64 bit, against the test vectors that its authors publish (in the public domain)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from shardmap import fnv1a_64

# From test_fnv.c of http://www.isthe.com/chongo/tech/comp/fnv/: single letters and growing prefixes, strings with their
# final zero, bytes at both ends of a word, addresses, and long repetitions.
VECTORS = [
    (b"", 0xCBF29CE484222325),
    (b"a", 0xAF63DC4C8601EC8C),
    (b"b", 0xAF63DF4C8601F1A5),
    (b"c", 0xAF63DE4C8601EFF2),
    (b"d", 0xAF63D94C8601E773),
    (b"e", 0xAF63D84C8601E5C0),
    (b"f", 0xAF63DB4C8601EAD9),
    (b"fo", 0x08985907B541D342),
    (b"foo", 0xDCB27518FED9D577),
    (b"foob", 0xDD120E790C2512AF),
    (b"fooba", 0xCAC165AFA2FEF40A),
    (b"foobar", 0x85944171F73967E8),
    (b"\x00", 0xAF63BD4C8601B7DF),
    (b"c\x00", 0x08A2AE07B54AB836),
    (b"f\x00", 0x08987C07B5420EBB),
    (b"foob\x00", 0xCAC146AFA2FEBF5D),
    (b"ch", 0x08A25607B54A22AE),
    (b"cho", 0xF5FAF0190CF90DF3),
    (b"chon", 0xF27397910B3221C7),
    (b"chong", 0x2C8C2B76062F22E0),
    (b"chongo", 0xE150688C8217B8FD),
    (b"chongo ", 0xF35A83C10E4F1F87),
    (b"chongo w", 0xD1EDD10B507344D0),
    (b"chongo wa", 0x2A5EE739B3DDB8C3),
    (b"chongo was", 0xDCFB970CA1C0D310),
    (b"chongo was ", 0x4054DA76DAA6DA90),
    (b"chongo was h", 0xF70A2FF589861368),
    (b"chongo was he", 0x4C628B38AED25F17),
    (b"chongo was her", 0x9DD1F6510F78189F),
    (b"chongo was here", 0xA3DE85BD491270CE),
    (b"chongo was here!", 0x858E2FA32A55E61D),
    (b"chongo was here!\n", 0x46810940EFF5F915),
    (b"chongo was here!\x00", 0x46810F40EFF60347),
    (b"cur", 0xF5B9FD190CC18D15),
    (b"curds ", 0x5A294C3FF5D18750),
    (b"curds and", 0x73CDDDCCD80EBC49),
    (b"curds and wh", 0xB096F77096A39F34),
    (b"curds and whey\n", 0x1A0B44CCFE1385EC),
    (b"hi\x00", 0x337354193006CB6E),
    (b"hello", 0xA430D84680AABD0B),
    (b"hello\x00", 0xA9BC8ACCA21F39B1),
    (b"\xff\x00\x00\x01", 0x6961196491CC682D),
    (b"\x01\x00\x00\xff", 0xAD2BB1774799DFE9),
    (b"\xff\x00\x00\x02", 0x6961166491CC6314),
    (b"\x02\x00\x00\xff", 0x8D1BB3904A3B1236),
    (b"\xff\x00\x00\x03", 0x6961176491CC64C7),
    (b"\x03\x00\x00\xff", 0xED205D87F40434C7),
    (b"\xff\x00\x00\x04", 0x6961146491CC5FAE),
    (b"\x04\x00\x00\xff", 0xCD3BAF5E44F8AD9C),
    (b"@QND", 0xE3B36596127CD6D8),
    (b"@QNJ", 0xE3B36396127CD372),
    (b"@QNT", 0xE3B37596127CF208),
    (b"127.0.0.1", 0xAABAFE7104D914BE),
    (b"127.0.0.2", 0xAABAFD7104D9130B),
    (b"127.0.0.3", 0xAABAFC7104D91158),
    (b"64.81.78.68", 0xE729BAC5D2A8D3A7),
    (b"64.81.78.74", 0xE72630C5D2A5B352),
    (b"64.81.78.84", 0xE73042C5D2AE266D),
    (b"feedface", 0x0A83C86FEE952ABC),
    (b"feedfacedaffdeed", 0x3E66D3D56B8CACA1),
    (b"feedfacedeadbeef", 0xCAC54572BB1A6FC8),
    (b"line 1\nline 2\nline 3", 0x7829851FAC17B143),
    (b"chongo <Landon Curt Noll> /\\../\\\x00", 0xD34E31539740C732),
    (b"chongo (Landon Curt Noll) /\\../\\\x00", 0x08C11B8346F4A3C3),
    (b"21701" * 10, 0xC4112FFB337A82FB),
    (b"M21701" * 10, 0xD64A4FD41DE38B7D),
    (b"2^21701-1" * 10, 0x4CFC32329EDEBCBB),
    (b"T\xc5" * 10, 0x0803564445050395),
    (b"\xc5T" * 10, 0xAA1574ECF4642FFD),
    (b"23209" * 10, 0x694BC4E54CC315F9),
    (b"M23209" * 10, 0xA3D7CB273B011721),
    (b"2^23209-1" * 10, 0x577C2F8B6115BFA5),
    (b"Z\xa9" * 10, 0xB7EC8C1A769FB4C1),
    (b"\xa9Z" * 10, 0x5D5CFCE63359AB19),
    (b"391581216093" * 10, 0x33B96C3CD65B5F71),
    (b"391581*2^216093-1" * 10, 0xD845097780602BB9),
    (b"\x05\xf9\x9d\x03L\x81" * 10, 0x84D47645D02DA3D5),
    (b"FEDCBA9876543210" * 10, 0x83544F33B58773A5),
    (b"\xfe\xdc\xba\x98vT2\x10" * 10, 0x9175CBB2160836C5),
    (b"EFCDAB8967452301" * 10, 0xC71B3BC175E72BC5),
    (b"\xef\xcd\xab\x89gE#\x01" * 10, 0x636806AC222EC985),
    (b"0123456789ABCDEF" * 10, 0xB6EF0E6950F52ED5),
    (b"\x01#Eg\x89\xab\xcd\xef" * 10, 0xEAD3D8A0F3DFDAA5),
    (b"1032547698BADCFE" * 10, 0x922908FE9A861BA5),
    (b"\x102Tv\x98\xba\xdc\xfe" * 10, 0x6D4821DE275FD5C5),
    (b"\x00" * 500, 0x1FE3FCE62BD816B5),
    (b"\x07" * 500, 0xC23E9FCCD6F70591),
    (b"~" * 500, 0xC1AF12BDFE16B5B5),
    (b"\x7f" * 500, 0x39E9F18F2F85E221),
]


@pytest.mark.parametrize(("data", "expected"), VECTORS, ids=[str(number) for number in range(len(VECTORS))])
def test_published_vectors(data: bytes, expected: int) -> None:
    assert fnv1a_64(data) == expected


def by_definition(data: bytes) -> int:
    """The authors' definition, word for word."""
    state = 0xCBF29CE484222325
    for octet in data:
        state = (state ^ octet) * 0x00000100000001B3 % 2**64
    return state


def test_against_the_definition() -> None:
    rng = random.Random(1)
    for length in [*range(70), 127, 128, 129, 1000, 4097]:
        data = rng.randbytes(length)
        assert fnv1a_64(data) == by_definition(data)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_like_arguments(kind: type[Any]) -> None:
    assert fnv1a_64(kind(b"foobar")) == 0x85944171F73967E8
    assert fnv1a_64(kind(b"")) == 0xCBF29CE484222325


def test_slices_of_memory() -> None:
    whole = memoryview(b"xxfoobarxx")
    assert fnv1a_64(whole[2:8]) == 0x85944171F73967E8
    wide = memoryview(b"foobar").cast("H")
    assert fnv1a_64(wide) == 0x85944171F73967E8
    mutable = bytearray(b"foobar")
    fnv1a_64(mutable)
    mutable.append(1)  # no buffer is held any more


@pytest.mark.parametrize("bad", ["foobar", 1, None, 1.5, [1, 2], object()])
def test_other_arguments(bad: Any) -> None:
    with pytest.raises(TypeError):
        fnv1a_64(bad)


def test_numbers_of_arguments() -> None:
    for arguments in ((), (b"a", b"b")):
        with pytest.raises(TypeError):
            fnv1a_64(*arguments)
    with pytest.raises(TypeError):
        fnv1a_64(data=b"a")  # type: ignore[call-arg]


def test_the_result_is_unsigned() -> None:
    assert all(0 <= fnv1a_64(bytes([number])) < 2**64 for number in range(256))
