"""The live page at / in headless Chromium: it draws the shards and the rates, without any resource from outside."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import urllib.request
import zlib
from pathlib import Path

import pytest
import targets

pytestmark = pytest.mark.ours

#: Chromium is slow to start where processors are few.
BROWSER_SECONDS = 120

WIDTH, HEIGHT = 1280, 900


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("Chromium is not installed (apt install chromium)")


def browse(tmp_path: Path, *options: str) -> str:
    """Run the browser once; what it prints."""
    command = [
        chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={WIDTH},{HEIGHT}",
        # Nothing but this machine can be reached: what the page needs from elsewhere would be missing.
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--virtual-time-budget=5000", *options,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=BROWSER_SECONDS, check=True).stdout


def test_the_page(tmp_path: Path) -> None:
    port = targets.free_port()
    with targets.another(http_port=port) as server, server.connect() as wire:
        wire.pipeline(("SET", f"key:{number}", "v" * 50) for number in range(2000))
        wire.pipeline(("GET", f"key:{number}") for number in range(4000))
        page = f"http://127.0.0.1:{port}/"
        with urllib.request.urlopen(page, timeout=30) as answer:
            source = answer.read().decode()
        assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//(?!127\.0\.0\.1)""", source)
        drawn = browse(tmp_path, "--dump-dom", page)
        assert len(drawn) > len(source) / 2
        assert "2,000" in drawn or "2000" in drawn or "2 000" in drawn
        picture = tmp_path / "page.png"
        browse(tmp_path, f"--screenshot={picture}", page)
        colours = _colours(picture.read_bytes())
        assert len(colours) > 20, "the page is all but empty"


def _colours(png: bytes) -> set[bytes]:
    """Different pixels of a PNG as Chromium writes it: eight bits a channel, not interlaced."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    place, data, header = 8, b"", b""
    while place < len(png):
        size, kind = struct.unpack(">I4s", png[place : place + 8])
        content = png[place + 8 : place + 8 + size]
        header = content if kind == b"IHDR" else header
        data += content if kind == b"IDAT" else b""
        place += size + 12
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    assert (width, depth, interlaced) == (WIDTH, 8, 0)
    return _pixels(zlib.decompress(data), width, height, {2: 3, 6: 4}[colour])


def _pixels(raw: bytes, width: int, height: int, channels: int) -> set[bytes]:
    line = width * channels
    found: set[bytes] = set()
    above = bytearray(line)
    for row in range(height):
        start = row * (line + 1)
        current = bytearray(raw[start + 1 : start + 1 + line])
        _unfilter(raw[start], current, above, channels)
        found.update(bytes(current[at : at + channels]) for at in range(0, line, channels))
        above = current
    return found


def _unfilter(kind: int, current: bytearray, above: bytearray, channels: int) -> None:
    for at in range(len(current)):
        left = current[at - channels] if at >= channels else 0
        corner = above[at - channels] if at >= channels else 0
        up = above[at]
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        elif kind == 4:
            estimate = left + up - corner
            guess = min((left, up, corner), key=lambda one: abs(estimate - one))
        else:
            return
        current[at] = (current[at] + guess) & 255
