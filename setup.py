"""The compiled core and its build variants; everything else about the package is in pyproject.toml.

One extension module, ``shardmap._core``: ``cysrc/_core.pyx`` includes the other ``.pyx`` files, and the headers in
``cysrc/include`` say what Cython cannot. ``SHARDMAP_BUILD`` chooses the variant:

=========== ===========================================================================================================
release     the default: optimised, nothing else
debug       C and Cython assertions, the core's own consistency checks (``SM_DEBUG``), symbols
trace       line tracing for coverage.py (CPython 3.11 and 3.12 report lines); the C stands beside the .pyx, where
            coverage.py's Cython plugin looks for it
asan        AddressSanitizer; run with ``LD_PRELOAD=$(gcc -print-file-name=libasan.so)``
ubsan       UndefinedBehaviorSanitizer; the first report ends the process
tsan        ThreadSanitizer; run with an interpreter that was built with it
=========== ===========================================================================================================

Everything generated goes to ``build/<variant>``, so that variants never take each other's objects for their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup


@dataclass(frozen=True)
class Variant:
    """What the C compiler and Cython are told for one variant, beyond what the interpreter was built with."""

    #: For the C compiler; sanitizers are for the linker too.
    compile: list[str]
    link: list[str] = field(default_factory=list)
    define: dict[str, str] = field(default_factory=dict)
    directives: dict[str, object] = field(default_factory=dict)
    #: Debuggers and sanitizers name the lines of the .pyx files instead of the C's.
    emit_linenums: bool = False
    #: Where the generated C goes: the build directory unless the variant needs it beside its source.
    c_beside_source: bool = False


# Interpreters are built with -DNDEBUG and often with -O3; what is given here comes later on the line and wins.
# Frame pointers give the sanitizers whole stacks at little cost.
CHECKED = ["-O1", "-g3", "-UNDEBUG", "-fno-omit-frame-pointer"]
SM_DEBUG = {"SM_DEBUG": "1"}

VARIANTS = {
    # No -march=native: a wheel runs on any machine of its architecture. Interpreters are built with -g, which would
    # make the wheel three times as large; functions keep their names for profilers.
    "release": Variant(["-O3", "-g0"]),
    "debug": Variant([*CHECKED], define=SM_DEBUG, emit_linenums=True),
    "trace": Variant(
        ["-O1", "-g1"],
        define={"CYTHON_TRACE": "1", "CYTHON_TRACE_NOGIL": "1", "CYTHON_USE_SYS_MONITORING": "0"},
        directives={"linetrace": True},
        c_beside_source=True,
    ),
    "asan": Variant([*CHECKED, "-fsanitize=address"], ["-fsanitize=address"], SM_DEBUG, emit_linenums=True),
    "ubsan": Variant(
        [*CHECKED, "-fsanitize=undefined", "-fno-sanitize-recover=all"],
        ["-fsanitize=undefined"],
        SM_DEBUG,
        emit_linenums=True,
    ),
    # Without SM_DEBUG: its checks may read what another thread is writing, which is a report and not a bug.
    "tsan": Variant([*CHECKED, "-fsanitize=thread"], ["-fsanitize=thread"], emit_linenums=True),
}


def chosen() -> str:
    """The name in ``SHARDMAP_BUILD``."""
    name = os.environ.get("SHARDMAP_BUILD", "release")
    if name not in VARIANTS:
        raise SystemExit(f"SHARDMAP_BUILD={name!r}: allowed is {', '.join(VARIANTS)}")
    return name


NAME = chosen()
VARIANT = VARIANTS[NAME]
BUILD = f"build/{NAME}"
CYSRC = Path("cysrc")

core = Extension(
    "shardmap._core",
    ["cysrc/_core.pyx"],
    include_dirs=["cysrc/include"],
    # An edit of any of these compiles the module again.
    depends=sorted(str(path) for path in CYSRC.rglob("*") if path.suffix in {".pyx", ".pxd", ".h"}),
    define_macros=sorted(VARIANT.define.items()),
    # Loops that Cython generates compare signed with unsigned counters.
    extra_compile_args=["-Wno-sign-compare", *VARIANT.compile],
    extra_link_args=VARIANT.link,
)

setup(
    ext_modules=cythonize(
        [core],
        build_dir=None if VARIANT.c_beside_source else f"{BUILD}/c",
        compiler_directives=VARIANT.directives,
        emit_linenums=VARIANT.emit_linenums,
        # Its own test compares times of files, which a copy, a checkout or another Cython can get wrong.
        force=True,
    ),
    options={"build": {"build_base": BUILD}},
)
