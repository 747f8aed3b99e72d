"""Finding, reading and decoding source files, and the identifiers in them.

Nothing here is shared between threads but constants. What can go wrong with one file is a :class:`SourceError`, which
says what to report; anything else is a mistake in the program and is let through.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import tokenize
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from shardmap.demo.progress import Progress
from shardmap.demo.tally import Tally

__all__ = ["SUFFIXES", "Digest", "Problem", "Source", "SourceError", "find", "identifiers", "read", "warm_up"]

#: Python sources name their encoding in the first two lines (PEP 263); all others are taken for UTF-8.
PYTHON_SUFFIXES = frozenset({".py", ".pyi", ".pyw", ".pyx", ".pxd", ".pxi"})
#: What counts as a source file, in lower case.
SUFFIXES = PYTHON_SUFFIXES | {
    *(".c", ".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".hxx", ".m", ".cs", ".go", ".rs", ".swift", ".zig"),
    *(".java", ".kt", ".scala", ".js", ".jsx", ".mjs", ".ts", ".tsx", ".lua", ".php", ".pl", ".rb", ".sh"),
}
#: Directories that hold other people's files or build products; so do all whose name begins with a dot.
SKIPPED_DIRECTORIES = frozenset({"__pycache__", "dist-packages", "node_modules", "site-packages"})

BOM = b"\xef\xbb\xbf"
#: 16 bytes: two different files of a tree agree by chance about once in 2**128.
DIGEST_SIZE = 16
#: A letter or underscore of any script, then these and digits. Words of comments and strings count as well.
IDENTIFIER = re.compile(r"[^\W\d]\w*")

#: What stands for the content of a file.
Digest = bytes


class Problem(NamedTuple):
    """Why a path is not in the index."""

    #: ``bad path``, ``unreadable`` or ``undecodable``.
    kind: str
    #: What the operating system or the codec said.
    reason: str


class SourceError(Exception):
    """A file cannot be used; ``problem`` says why."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.problem = Problem(kind, reason)


class Source(NamedTuple):
    """A source file, read and decoded."""

    suffix: str
    digest: Digest
    size: int
    text: str


def find(roots: Iterable[str]) -> tuple[list[str], dict[str, Problem]]:
    """The paths of all source files below *roots*, each once and in a fixed order, and the directories that failed.

    Symbolic links to directories are not followed.
    """
    paths: dict[str, None] = {}
    problems: dict[str, Problem] = {}

    def report(error: OSError) -> None:
        problems[str(error.filename)] = Problem("unreadable", error.strerror or str(error))

    for root in roots:
        if not os.path.isdir(root):
            problems[root] = Problem("bad path", "not a directory" if os.path.exists(root) else "no such directory")
            continue
        for directory, subdirectories, names in os.walk(root, onerror=report):
            subdirectories[:] = sorted(name for name in subdirectories if _is_wanted(name))
            for name in sorted(names):
                if _suffix(name) in SUFFIXES:
                    paths[os.path.join(directory, name)] = None
    return list(paths), problems


def read(path: str) -> Source:
    """Read and decode the file at *path*. Raises :class:`SourceError` if that is not possible."""
    data = _read_bytes(path)
    suffix = _suffix(path)
    try:
        encoding = _encoding(suffix, data)
        text = data.decode(encoding)
    # SyntaxError: a bad declaration; LookupError: one that names a codec from bytes to bytes; UnicodeError: bad bytes.
    except (SyntaxError, LookupError, UnicodeError) as error:
        raise SourceError("undecodable", str(error)) from error
    # The same bytes in two encodings are two texts, hence the encoding is part of the content.
    digest = hashlib.blake2b(data, digest_size=DIGEST_SIZE)
    digest.update(encoding.encode())
    return Source(suffix, digest.digest(), len(data), text)


def warm_up(paths: Iterable[str], progress: Progress) -> None:
    """Read all files once, so that no measured run has to wait for the disk."""
    done = Tally()
    for path in paths:
        with suppress(SourceError):
            done = done.plus(Tally(bytes=len(_read_bytes(path))))
        done = done.plus(Tally(files=1))
        progress.show(done)


def identifiers(text: str) -> list[str]:
    """All identifiers of *text*, as often as they occur."""
    return IDENTIFIER.findall(text)


def _is_wanted(directory: str) -> bool:
    return not directory.startswith(".") and directory not in SKIPPED_DIRECTORIES


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _read_bytes(path: str) -> bytes:
    try:
        # Looked at before it is opened: opening a named pipe would wait for a writer.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SourceError("unreadable", "not a regular file")
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError as error:
        raise SourceError("unreadable", error.strerror or str(error)) from error


def _encoding(suffix: str, data: bytes) -> str:
    if suffix in PYTHON_SUFFIXES:
        return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    return "utf-8-sig" if data.startswith(BOM) else "utf-8"
