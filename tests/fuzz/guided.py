"""Fuzzing guided by what of the compiled core an input reaches: libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer.

``fuzz.py --guided`` calls this; it needs clang with its runtime (Debian: clang, libclang-rt-dev), ``$CLANG`` or
``clang``, and the interpreter's library. The core is compiled into the fuzzer, ``fuzzer.c``, with an interpreter around
it. ``SANITIZE=`` in the environment makes one without sanitizers, which is some times as fast.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

__all__ = ["build", "run"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

#: As the core is compiled otherwise, but for the sanitizers: overflow of signed numbers is defined.
FLAGS = ["-O1", "-g", "-fwrapv", "-fno-omit-frame-pointer", "-DSM_DEBUG=1", "-Wno-everything"]
#: Besides libFuzzer itself.
SANITIZERS = os.environ.get("SANITIZE", "address,undefined")
#: One of so many mutations is Python's, which knows what an input looks like and takes longer than the parser does.
KNOWING = {"parser": 16, "server": 2, "snapshot": 2}
#: Bytes of an input. The parser meets each of its limits in a few, and sees each byte arrive on its own.
LONGEST = {"parser": 512, "server": 4096, "snapshot": 4096}
#: MB of the process: more is a failure.
MEMORY = 1000


def build(target: str, output: Path) -> None:
    """Compile the fuzzer for the target; SystemExit if it cannot be."""
    clang = os.environ.get("CLANG") or shutil.which("clang")
    if clang is None:
        sys.exit("no clang: set CLANG, or go without --guided, which needs none")
    output.parent.mkdir(parents=True, exist_ok=True)
    generated = output.with_name("_core.c")
    cython = [sys.executable, "-m", "cython", "-3", "--module-name", "shardmap._core", "-I", "cysrc"]
    subprocess.run([*cython, "cysrc/_core.pyx", "-o", generated], cwd=ROOT, check=True)
    command = [clang, *FLAGS, f"-fsanitize=fuzzer{SANITIZERS and ','}{SANITIZERS}"]
    command += ["-I", str(ROOT / "cysrc/include"), "-I", sysconfig.get_paths()["include"]]
    command += [f'-DTARGET="{target}"', f'-DMUTATIONS="{mutations(target)}"', f"-DKNOWING={KNOWING[target]}"]
    command += [str(generated), str(HERE / "fuzzer.c"), *library(), "-rdynamic", "-o", str(output)]
    subprocess.run(command, check=True)


def mutations(target: str) -> str:
    """The module that mutates the target's inputs, which also says where its seeds are."""
    return "snapshot" if target == "snapshot" else "server"


def library() -> list[str]:
    """What embeds the interpreter: its shared library, or its archive with all that this needs."""
    directory = sysconfig.get_config_var("LIBDIR")
    name = sysconfig.get_config_var("LDVERSION") or sysconfig.get_config_var("VERSION")
    others = f"{sysconfig.get_config_var('LIBS') or ''} {sysconfig.get_config_var('SYSLIBS') or ''}".split()
    return [f"-L{directory}", f"-Wl,-rpath,{directory}", f"-lpython{name}", *others]


def run(target: str, seed: int, seconds: float, inputs: Path) -> int:
    """Compile and run for so long. What libFuzzer found worth keeping stays in the directory, also what fails; returns
    how many inputs there were. SystemExit if one failed."""
    corpus = (inputs / target).absolute()
    corpus.mkdir(parents=True, exist_ok=True)
    fuzzer = (inputs / f"{target}_fuzzer").absolute()
    build(target, fuzzer)
    options = [f"-max_total_time={max(int(seconds), 1)}", f"-seed={seed or 1}", f"-max_len={LONGEST[target]}"]
    options += [f"-rss_limit_mb={MEMORY}", f"-artifact_prefix={corpus.parent}/{target}-failure-"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)]),
        # So that the sanitizer sees Python's objects; what the interpreter leaves at its end is no leak of ours.
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    command = [fuzzer, *options, "-print_final_stats=1", corpus, HERE / "seeds" / mutations(target)]
    ran = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
    found = re.search(r"number_of_executed_units: (\d+)", ran.stderr)
    if ran.returncode != 0 or found is None:
        print(ran.stderr[-20000:], flush=True)
        sys.exit(f"{target}: an input fails: {corpus.parent}/{target}-failure-*")
    return int(found[1])
