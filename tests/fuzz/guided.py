"""Compile the core and fuzzer.c with clang and libFuzzer, for the interpreter that runs this.

    python tests/fuzz/build_fuzzer.py snapshot build/fuzz/snapshot_fuzzer
    PYTHONPATH=.:tests/fuzz PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
        build/fuzz/snapshot_fuzzer -max_total_time=60 -max_len=4096 -rss_limit_mb=1000 corpus tests/fuzz/seeds/snapshot

The same with ``server`` for what clients send.

Needs clang with its runtime (Debian: clang, libclang-rt-dev), ``$CLANG`` or ``clang``, and the interpreter's library.
``SANITIZE=`` makes one without sanitizers, which is some times as fast.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: As the core is compiled otherwise, but for the sanitizers: overflow of signed numbers is defined.
FLAGS = ["-O1", "-g", "-fwrapv", "-fno-omit-frame-pointer", "-DSM_DEBUG=1", "-Wno-everything"]
#: Besides libFuzzer itself.
SANITIZERS = os.environ.get("SANITIZE", "address,undefined")


def main() -> int:
    """Compile for the target, to the path given."""
    target = sys.argv[1]
    clang = os.environ.get("CLANG") or shutil.which("clang")
    if clang is None:
        sys.exit("no clang: set CLANG, or use fuzz.py, which needs none")
    output = Path(sys.argv[2]).absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    generated = output.with_name("_core.c")
    cython = [sys.executable, "-m", "cython", "-3", "--module-name", "shardmap._core", "-I", "cysrc"]
    subprocess.run([*cython, "cysrc/_core.pyx", "-o", generated], cwd=ROOT, check=True)
    includes = ["-I", str(ROOT / "cysrc/include"), "-I", sysconfig.get_paths()["include"]]
    command = [clang, *FLAGS, f"-fsanitize=fuzzer{SANITIZERS and ','}{SANITIZERS}", *includes]
    command += [
        str(generated),
        f'-DTARGET="{target}"',
        str(HERE / "fuzzer.c"),
        *library(),
        "-rdynamic",
        "-o",
        str(output),
    ]
    return subprocess.run(command, check=False).returncode


def library() -> list[str]:
    """What embeds the interpreter: its shared library, or its archive with all that this needs."""
    directory = sysconfig.get_config_var("LIBDIR")
    name = sysconfig.get_config_var("LDVERSION") or sysconfig.get_config_var("VERSION")
    others = f"{sysconfig.get_config_var('LIBS') or ''} {sysconfig.get_config_var('SYSLIBS') or ''}".split()
    return [f"-L{directory}", f"-Wl,-rpath,{directory}", f"-lpython{name}", *others]


if __name__ == "__main__":
    sys.exit(main())
