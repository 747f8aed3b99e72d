"""The package as it is installed: metadata, types, import.

What only an installation elsewhere can show (wheel, sdist, a clean environment) is checked by ``make dist``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import shardmap

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def python(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run *code* in an interpreter of its own, which imports the same shardmap as this one."""
    package = str(Path(shardmap.__file__).parents[1])
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SHARDMAP_", "PYTHON_GIL"))}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        env=variables | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def succeeds(code: str, *options: str) -> str:
    done = python(code, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_runtime_dependency() -> None:
    assert all("extra ==" in each for each in importlib.metadata.requires("shardmap") or ())


def test_imports_nothing_but_the_standard_library() -> None:
    loaded = succeeds("import shardmap, sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))", "-S")
    # Cython's runtime types live in a module of their own; it is no file.
    foreign = {
        name
        for name in set(loaded.split()) - set(sys.stdlib_module_names) - {"shardmap"}
        if not name.startswith("_cython_")
    }
    assert foreign <= {"__main__", "cython_runtime"}


def test_version_is_the_same_everywhere() -> None:
    assert importlib.metadata.version("shardmap") == shardmap.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", shardmap.__version__)


def test_metadata_names_the_licence_and_the_pythons() -> None:
    metadata = importlib.metadata.metadata("shardmap")
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    classifiers = metadata.get_all("Classifier") or []
    assert any(each.startswith("Programming Language :: Python :: Free Threading ::") for each in classifiers)
    assert "Typing :: Typed" in classifiers


def test_types_are_shipped() -> None:
    files = importlib.resources.files("shardmap")
    assert (files / "py.typed").is_file()
    assert (files / "_core.pyi").is_file()


def test_everything_public_is_there_and_documented() -> None:
    assert len(set(shardmap.__all__)) == len(shardmap.__all__)
    for name in shardmap.__all__:
        assert getattr(shardmap, name) is not None
        assert name.startswith("__") or (getattr(shardmap, name).__doc__ or "").strip(), f"{name} has no docstring"


def test_import_is_silent() -> None:
    done = python("import shardmap", "-W", "error")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")
def test_import_leaves_the_gil_off() -> None:
    code = "import shardmap, sys; shardmap.ShardMap({1: 2}); print(sys._is_gil_enabled())"
    assert succeeds(code, "-W", "error") == "False"


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")
def test_the_suite_itself_leaves_the_gil_off() -> None:
    # This process has imported pytest, its plugins and everything that the tests collected so far use.
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined, unused-ignore]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SHARDMAP_SHARDS", value) for value in ("3", "abc", "-1", "0", "", "131072")]
    + [("SHARDMAP_HASH_SEED", value) for value in ("abc", "-1", "18446744073709551616", "")],
)
def test_a_bad_setting_stops_the_import_and_is_named(variable: str, value: str) -> None:
    done = python("import shardmap", **{variable: value})
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("shardmap.errors.ConfigError: "), done.stderr
    assert variable in last
    assert value in last
    assert "allowed" in last


def test_good_settings_are_obeyed() -> None:
    code = "import shardmap; m = shardmap.ShardMap(); print(m.stats()['shards'], m._seed)"
    done = python(code, SHARDMAP_SHARDS="8", SHARDMAP_HASH_SEED="0x10")
    assert (done.stdout.strip(), done.stderr) == ("8 16", "")
