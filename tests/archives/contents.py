"""Check what the sdist and the wheels hold: ``python contents.py DIRECTORY...`` with the archives in the directories.

The sdist must be enough to build, test and measure, without anything generated; a wheel is the package and nothing
else, and the same be it built from the tree or from the sdist.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]

#: Of the source tree: each of these must be in the sdist.
SOURCES = (
    "CHANGELOG.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "setup.py",
    "cysrc/**/*.pyx",
    "cysrc/**/*.pxd",
    "cysrc/**/*.h",
    "shardmap/**/*.py",
    "shardmap/**/*.pyi",
    "shardmap/py.typed",
    "shardmap/service/page/*",
    "deploy/*",
    "tests/**/*.py",
    "perf/**/*.py",
    "perf/*.c",
    "tests/fuzz/*.c",
)
#: Never in any archive: generated, compiled, or left by a tool.
GENERATED = {".c", ".so", ".pyc", ".html", ".o"}


def problems_of_sdist(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in archive.getnames()}
    expected = {str(file.relative_to(ROOT)) for pattern in SOURCES for file in ROOT.glob(pattern) if file.is_file()}
    problems = [f"lacks {name}" for name in sorted(expected - names)]
    problems += [f"holds {name}" for name in sorted(names - expected) if PurePosixPath(name).suffix in GENERATED]
    return problems


def problems_of_wheel(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        information = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(information).decode()
    package = {name for name in names if ".dist-info/" not in name}
    # A glob, and not a list: what is added to the package must be in the wheel too.
    expected = {
        str(file.relative_to(ROOT))
        for pattern in ("**/*.py", "**/*.pyi", "py.typed", "service/page/*")
        for file in (ROOT / "shardmap").glob(pattern)
    }
    cores = {name for name in package if name.startswith("shardmap/_core.") and name.endswith(".so")}
    problems = [f"lacks {name}" for name in sorted(expected - package)]
    problems += [f"holds {name}" for name in sorted(package - expected - cores)]
    if len(cores) != 1:
        problems.append(f"holds {len(cores)} compiled cores, not one")
    if any(line.startswith("Requires-Dist") and "extra ==" not in line for line in metadata.splitlines()):
        problems.append("depends on another package")
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        problems.append("lacks the licence")
    return problems


def main(directories: list[str]) -> int:
    archives = sorted(path for directory in directories for path in Path(directory).iterdir() if path.is_file())
    problems: dict[Path, list[str]] = defaultdict(list)
    for path in archives:
        problems[path] = problems_of_wheel(path) if path.suffix == ".whl" else problems_of_sdist(path)
        for problem in problems[path]:
            print(f"{path}: {problem}", file=sys.stderr)
        if not problems[path]:
            print(f"{path}: {path.stat().st_size:,} bytes, complete")
    kinds = {path.suffix for path in archives}
    if kinds != {".whl", ".gz"}:
        print(f"expected an sdist and wheels in {' '.join(directories)}", file=sys.stderr)
        return 1
    return int(any(problems.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
