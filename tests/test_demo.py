"""The demonstration: right totals on a small tree, whatever is wrong with its files, and an honest exit code."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shardmap import ShardMap
from shardmap.demo import cli, report, threads
from shardmap.demo.check import EXAMPLES, differences
from shardmap.demo.index import Index
from shardmap.demo.progress import Progress
from shardmap.demo.reference import Reference, reference
from shardmap.demo.sources import Problem, SourceError, find, identifiers, read
from shardmap.demo.tally import Tally

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()

#: All good files of the tree, by path, and what the index of it must hold (written out, not computed).
FILES = {
    "a/one.py": b"alpha = beta(alpha)\n",
    "a/twin.py": b"alpha = beta(alpha)\n",
    "b/triplet.pyi": b"alpha = beta(alpha)\n",
    "b/two.c": b"int beta, gamma2;\nint x_1;\n",
    "b/empty.py": b"",
    "b/latin.py": b"# coding: latin-1\nna\xefve = 1\n",
    "b/UPPER.H": "größe _".encode(),
}
COUNTS = {
    "alpha": 2, "beta": 2, "int": 2, "gamma2": 1, "x_1": 1, "coding": 1, "latin": 1, "naïve": 1, "größe": 1, "_": 1,
}  # fmt: skip
#: The files that each identifier is in; of the three with the same content, any may stand for all.
TRIPLETS = ("a/one.py", "a/twin.py", "b/triplet.pyi")
PATHS_OF = {
    "alpha": {*TRIPLETS}, "beta": {*TRIPLETS, "b/two.c"}, "int": {"b/two.c"}, "gamma2": {"b/two.c"}, "x_1": {"b/two.c"},
    "coding": {"b/latin.py"}, "latin": {"b/latin.py"}, "naïve": {"b/latin.py"}, "größe": {"b/UPPER.H"},
    "_": {"b/UPPER.H"},
}  # fmt: skip
BY_SUFFIX = {".py": Tally(4, 4, 68), ".pyi": Tally(1, 1, 20), ".c": Tally(1, 2, 27), ".h": Tally(1, 0, 9)}
PROBLEMS = {
    "bad/bytes.py": "undecodable",
    "bad/later.py": "undecodable",
    "bad/codec.py": "undecodable",
    "bad/rot13.py": "undecodable",
    "bad/bytes.js": "undecodable",
    "bad/dangling.py": "unreadable",
    "bad/pipe.py": "unreadable",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with duplicates, files that cannot be read or decoded, and things that are not to be indexed."""
    root = tmp_path / "tree"
    bad = {
        "bad/bytes.py": b"\xff\xfe\x00",
        "bad/later.py": b"a = 1\nb = 2\nc = '\xe9'\n",
        "bad/codec.py": b"# coding: no-such-codec\n",
        "bad/rot13.py": b"# coding: rot13\n",
        "bad/bytes.js": b"caf\xe9",
    }
    skipped = {
        "README.txt": b"unwanted",
        ".git/hook.py": b"unwanted",
        "a/__pycache__/one.py": b"unwanted",
        "site-packages/other.py": b"unwanted",
    }
    for name, data in {**FILES, **bad, **skipped}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (root / "bad/dangling.py").symlink_to(root / "nowhere.py")
    os.mkfifo(root / "bad/pipe.py")
    # A directory, not a source file, for all its name; and a link that leads back up.
    (root / "directory.py").mkdir()
    (root / "directory.py/back").symlink_to(root)
    return root


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Whatever happens, the threads of the job have ended when it has."""
    yield
    assert [thread for thread in threading.enumerate() if thread.name.startswith("indexer")] == []


@pytest.fixture
def control_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, even where the tests run in the background and inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def quiet(total: int = 0) -> Progress:
    """Progress that shows nothing."""
    return Progress("test", total, None)


def index_of(root: Path, number: int) -> Index:
    """The index of a tree, made by *number* threads."""
    with quiet() as progress:
        return threads.index_files(find([str(root)])[0], number, progress)


def run_module(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """``python -m shardmap.demo`` as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "shardmap.demo", *arguments], capture_output=True, text=True, timeout=120, **more
    )


# -- what the maps hold -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("_round", range(5))
def test_the_index_holds_exactly_what_is_in_the_tree(tree: Path, number: int, _round: int) -> None:
    """Written-out totals, so that a mistake common to the index and its reference shows."""
    index = index_of(tree, number)
    paths_of = {digest: {os.path.relpath(path, tree) for path in paths} for digest, paths in index.paths_of.items()}
    contents = sorted(sorted(paths) for paths in paths_of.values())

    assert index.counts == COUNTS
    assert contents == sorted([sorted(TRIPLETS), ["b/UPPER.H"], ["b/empty.py"], ["b/latin.py"], ["b/two.c"]])
    assert {
        word: set().union(*(paths_of[digest] for digest in digests)) for word, digests in index.contents_of.items()
    } == PATHS_OF
    assert all(len(digests) == len(set(digests)) for digests in index.contents_of.values())
    assert index.by_suffix == BY_SUFFIX
    assert {os.path.relpath(path, tree): problem.kind for path, problem in index.problems.items()} == PROBLEMS
    assert index.progress() == Tally(files=7 + 7, lines=7, bytes=124)


def test_many_threads_agree_with_the_reference_on_files_that_share_everything(tmp_path: Path) -> None:
    """Every file has the same words and every content many paths: the threads meet at every key."""
    words = [f"word{number}" for number in range(50)]
    for number in range(120):
        text = " ".join(words) + f" own{number % 40}\n"
        (tmp_path / f"f{number}.py").write_text(text * 3)
    paths, _ = find([str(tmp_path)])
    with quiet() as progress:
        expected = reference(paths, progress)
    expected.sort()
    index = index_of(tmp_path, 8)
    index.sort()

    assert differences(index, expected) == []
    assert index.counts["word7"] == 40 * 3
    assert len(index.contents_of["word7"]) == len(index.paths_of) == 40
    assert all(len(paths) == 3 for paths in index.paths_of.values())
    assert index.by_suffix[".py"].files == 120


def test_find_names_each_file_once_in_a_fixed_order_and_all_that_failed(tree: Path) -> None:
    root = str(tree)
    paths, problems = find([root, root, f"{root}/nowhere", f"{root}/README.txt"])
    assert paths == find([root])[0]
    assert sorted(os.path.relpath(path, root) for path in paths) == sorted([*FILES, *PROBLEMS])
    assert problems == {
        f"{root}/nowhere": Problem("bad path", "no such directory"),
        f"{root}/README.txt": Problem("bad path", "not a directory"),
    }


def test_a_directory_that_cannot_be_listed_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made to fail, since the user who runs the tests may be allowed everything."""
    real = os.scandir

    def scandir(path: str) -> Any:
        if path.endswith("b"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    paths, problems = find([str(tree)])
    assert problems == {f"{tree}/b": Problem("unreadable", "Permission denied")}
    assert [path for path in paths if "/b/" in path] == []
    assert f"{tree}/a/one.py" in paths


def test_a_file_that_may_not_be_opened_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_: object, **__: object) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(SourceError) as caught:
        read(str(tree / "a/one.py"))
    assert caught.value.problem == Problem("unreadable", "Permission denied")


def test_the_same_bytes_in_another_encoding_are_another_content(tmp_path: Path) -> None:
    """Otherwise the totals would depend on which of two such files comes first."""
    data = b"# coding: latin-1\nna\xc3\xafve = 1\n"
    for name in ("x.py", "y.py", "z.c"):
        (tmp_path / name).write_bytes(data)
    x, y, z = (read(str(tmp_path / name)) for name in ("x.py", "y.py", "z.c"))
    assert x.digest == y.digest != z.digest
    assert "naïve" in identifiers(z.text)
    assert "naïve" not in identifiers(x.text)


def test_identifiers_of_any_script() -> None:
    assert identifiers("x=1+y2*3e4 größe_ 变量 'αβ' _ 9z\n") == ["x", "y2", "e4", "größe_", "变量", "αβ", "_", "z"]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    for name in ("x.py", "x.c"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbfname")
        assert read(str(tmp_path / name)).text == "name"


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_thread_left")
@pytest.mark.parametrize("number", ["1", "3"])
def test_the_command_agrees_and_ends_with_0(tree: Path, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tree), "--threads", number, "--top", "3"]) == 0
    out, err = capsys.readouterr()
    lines = [" ".join(line.split()) for line in out.splitlines()]

    assert lines[0] == f"14 source files in {tree}"
    assert "files 7 0.0 MB, 7 lines" in lines
    assert "duplicates 2 same content as another file, indexed once" in lines
    assert "identifiers 13 10 different ones" in lines
    assert ".py 4 4 68" in lines
    assert "Problems: 5 undecodable, 2 unreadable" in lines
    assert f"{tree}/bad/pipe.py: unreadable: not a regular file" in lines
    # The best three, equal ones by name.
    top = lines.index("occurrences files")
    assert lines[top + 1 : top + 5] == ["alpha 2 1", "beta 2 2", "int 2 1", ""]
    assert "entries 10 10 5 4 7" in lines
    assert lines[-1] == "Check: all 36 entries of 5 maps equal those of the single-threaded run."
    assert ("speed-up of 3 threads over 1" in out) == (FREE_THREADED and number == "3")
    assert "first look at the files: done in " in err
    assert re.search(rf"^ShardMap, {number} threads?: done in \d+\.\d\d s$", err, re.MULTILINE)


def test_quiet_shows_no_progress(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tree), "-q"]) == 0
    assert capsys.readouterr().err == ""


def test_a_bad_path_beside_a_good_one_is_reported_and_counted(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([f"{tree}/a", f"{tree}/nowhere", f"{tree}/README.txt"]) == 0
    out = capsys.readouterr().out
    assert "Problems: 2 bad path\n" in out
    assert f"  {tree}/nowhere: bad path: no such directory\n" in out
    assert f"  {tree}/README.txt: bad path: not a directory\n" in out


@pytest.mark.parametrize(
    ("name", "message"),
    [("nowhere", "no such directory"), ("README.txt", "not a directory"), ("empty", "no source files in ")],
)
def test_nothing_to_index_is_an_error(tree: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "empty").mkdir()
    assert cli.main([str(tree / name)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("python -m shardmap.demo: error: ")
    assert message in err
    assert str(tree / name) in err


@pytest.mark.parametrize(
    "arguments", [["--threads", "0"], ["-t", "-1"], ["-t", "x"], ["-t", "99999"], ["--top", "²"], ["--limit", "0"]]
)
def test_a_bad_option_is_an_error_that_names_the_value(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert arguments[1] in capsys.readouterr().err.splitlines()[-1]


def test_a_name_of_a_file_cannot_disturb_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "\x1b[31m\n.py").write_bytes(b"\xff")
    (tmp_path / "ok.py").write_bytes(b"x")
    assert cli.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[31m\n.py': undecodable" in out


def test_many_problems_are_counted_and_the_first_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(report.NAMED_PROBLEMS + 3):
        (tmp_path / f"f{number:02}.py").write_bytes(b"\xff")
    assert cli.main([str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"Problems: {report.NAMED_PROBLEMS + 3} undecodable" in out
    assert "f09.py" in out
    assert "f10.py" not in out
    assert "  ... and 3 more\n" in out


# -- a mismatch is found ----------------------------------------------------------------------------------------------


def _lose_count(made: Reference) -> None:
    made.counts["alpha"] += 1


def _lose_word(made: Reference) -> None:
    made.counts["phantom"] = 1


def _invent_word(made: Reference) -> None:
    del made.counts["int"]


def _lose_file(made: Reference) -> None:
    made.contents_of["beta"].append(b"phantom")


def _file_twice(made: Reference) -> None:
    made.contents_of["beta"].append(made.contents_of["beta"][0])


def _lose_path(made: Reference) -> None:
    next(paths for paths in made.paths_of.values() if len(paths) > 1).pop()


def _lose_bytes(made: Reference) -> None:
    made.by_suffix[".py"] = made.by_suffix[".py"].plus(Tally(bytes=1))


def _lose_problem(made: Reference) -> None:
    made.problems["phantom.py"] = Problem("unreadable", "")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_lose_count, "counts: wrong 'alpha' is 2, expected 3"),
        (_lose_word, "counts: missing 'phantom'"),
        (_lose_word, "counts: 10 entries, expected 11"),
        (_invent_word, "counts: unexpected 'int'"),
        (_lose_file, "contents_of: wrong 'beta' is "),
        (_file_twice, "contents_of: wrong 'beta' is "),
        (_lose_path, "paths_of: wrong "),
        (_lose_bytes, "by_suffix: wrong '.py' is Tally(files=4, lines=4, bytes=68), expected "),
        (_lose_problem, "problems: missing 'phantom.py'"),
    ],
)
def test_a_mismatch_is_printed_and_ends_with_1(
    tree: Path,
    spoil: Callable[[Reference], None],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The reference is made wrong on purpose, in each map in turn; only that map is complained of."""

    def spoiled(*arguments: Any) -> Reference:
        made = reference(*arguments)
        spoil(made)
        return made

    monkeypatch.setattr(cli, "reference", spoiled)
    assert cli.main([str(tree), "-t", "2"]) == 1
    complaints = capsys.readouterr().out.partition("Check FAILED")[2].splitlines()[1:]
    assert any(line.startswith(f"  ShardMap, 2 threads: {expected}") for line in complaints), complaints
    assert {line.split(": ")[1] for line in complaints} == {expected.partition(":")[0]}


def test_an_index_that_loses_an_update_ends_with_1(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_words = Index._add_words
    monkeypatch.setattr(Index, "_add_words", lambda self, digest, words: add_words(self, digest, words[1:]))
    assert cli.main([str(tree)]) == 1
    assert "counts: wrong 'alpha' is 1, expected 2" in capsys.readouterr().out


def test_of_many_differences_some_are_shown_and_all_counted() -> None:
    index = Index()
    made = Reference()
    made.counts.update({f"word{number}": 1 for number in range(EXAMPLES + 4)})
    found = differences(index, made)
    assert len(found) == 1 + EXAMPLES + 1
    assert found[-1] == "counts: missing ... and 4 more"


# -- errors and interruption ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_thread_left")
def test_what_a_thread_raises_is_raised_and_stops_the_others(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread is held in its first file until the first thread's error has told it to stop."""
    stopped = threading.Event()
    taken = threading.Barrier(2)
    started: list[str] = []

    class Stop(threading.Event):
        def set(self) -> None:
            super().set()
            stopped.set()

    def add_file(_index: Index, path: str) -> None:
        started.append(path)
        taken.wait(60)
        if path.endswith("one.py"):
            raise ZeroDivisionError(path)
        assert stopped.wait(60)

    monkeypatch.setattr(threads, "Event", Stop)
    monkeypatch.setattr(Index, "add_file", add_file)
    with quiet() as progress, pytest.raises(ZeroDivisionError, match=r"one\.py"):
        threads.index_files(find([str(tree)])[0], 2, progress)
    assert len(started) == 2


@pytest.mark.usefixtures("no_thread_left", "control_c")
@pytest.mark.parametrize("phase", [Index, Reference])
def test_control_c_stops_the_job_with_130(
    tree: Path, phase: type, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The signal comes while files are indexed, to the main thread, as the terminal sends it."""
    add_file = phase.add_file  # type: ignore[attr-defined]
    main = threading.main_thread().ident
    assert main is not None
    sent = threading.Lock()

    def interrupted(self: object, path: str) -> None:
        if sent.acquire(blocking=False):
            signal.pthread_kill(main, signal.SIGINT)
        add_file(self, path)

    monkeypatch.setattr(phase, "add_file", interrupted)
    assert cli.main([str(tree), "-t", "2"]) == 130
    out, err = capsys.readouterr()
    assert err.endswith("interrupted\n")
    assert "stopped after" in err
    assert "Check" not in out


def test_control_c_in_a_process_of_its_own(tree: Path) -> None:
    """No traceback and exit code 130, at whatever moment: both threads are busy until the interruption stops them."""
    code = (
        "import os, signal, sys, threading\n"
        "from shardmap.demo import cli, threads\n"
        "class Stop(threading.Event):\n"
        "    def set(self):\n"
        "        super().set(); stopped.set()\n"
        "stopped = threading.Event()\n"
        "threads.Event = Stop\n"
        "def add_file(self, path):\n"
        "    os.write(2, b'busy\\n')\n"
        "    stopped.wait()\n"
        "threads.Index.add_file = add_file\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.exit(cli.main())\n"
    )
    command = [sys.executable, "-c", code, str(tree), "--quiet", "--threads", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "busy\n"
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert rest.replace("busy\n", "") == "interrupted\n"


# -- a process of its own ---------------------------------------------------------------------------------------------


def test_help_tells_options_and_exit_codes(tmp_path: Path) -> None:
    done = run_module("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    for text in ("DIR", "--threads", "--top", "--limit", "--quiet", "exit codes", "130", "standard library"):
        assert text in done.stdout


def test_the_standard_library_is_the_default(tmp_path: Path) -> None:
    done = run_module("--limit", "25", "--top", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"25 source files in {sysconfig.get_path('stdlib')}\n")
    assert "Check: all " in done.stdout


def test_a_report_that_nobody_reads_is_no_traceback(tree: Path) -> None:
    command = [sys.executable, "-m", "shardmap.demo", str(tree), "-q"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=tree, timeout=120)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_identifiers_that_the_output_cannot_encode_are_escaped(tree: Path) -> None:
    done = run_module(str(tree), cwd=tree, env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    assert r"gr\xf6\xdfe" in done.stdout


# -- progress and tables ----------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_progress_in_a_log_is_calm() -> None:
    stream, clock = io.StringIO(), Clock()
    with Progress("work", 10, stream, clock) as progress:
        for done in range(11):
            progress.show(Tally(done, 0, done * 1_000_000))
            clock.now += 0.5
    assert progress.seconds == 5.5
    assert stream.getvalue().splitlines() == [
        "work: [####......] 4/10 files, 4.0 MB, 2.0 MB/s",
        "work: [########..] 8/10 files, 8.0 MB, 2.0 MB/s",
        "work: done in 5.50 s",
    ]


def test_progress_on_a_terminal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    stream, clock = Terminal(), Clock()

    def fail() -> None:
        with Progress("work", 4, stream, clock) as progress:
            for done in range(3):
                clock.now += 1
                progress.show(Tally(done))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert written.endswith("\r\x1b[Kwork: stopped after 3.00 s\n")
    shown = written.split("\r\x1b[K")[1:-1]
    assert [len(line) for line in shown] == [39, 39, 39]
    assert shown[-1].startswith("work: [#####.....] 2/4")


def test_progress_on_a_dumb_terminal_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream, clock = Terminal(), Clock()
    with Progress("work", 4, stream, clock) as progress:
        clock.now += 10
        progress.show(Tally(1))
    assert "\x1b" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 2


def test_tables_are_aligned() -> None:
    rows = [("", "count"), ("long name", "7"), ("x", "1,000")]
    assert report.table(rows) == ["             count", "  long name      7", "  x          1,000"]
    assert report.table(rows, right=set()) == ["             count", "  long name  7", "  x          1,000"]


def test_the_top_leaves_keywords_out_and_puts_equal_ones_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("if if if b b a a c c c rare")
    assert [line.split() for line in report.top(index_of(tmp_path, 1), 3)[2:]] == [
        ["c", "3", "1"],
        ["a", "2", "1"],
        ["b", "2", "1"],
    ]


def test_the_statistics_table_has_a_column_for_each_map_and_a_row_for_each_figure(tree: Path) -> None:
    index = index_of(tree, 2)
    title, head, *rows = report.statistics(index)
    assert title == "stats() of the maps"
    assert head.split() == ["counts", "contents_of", "paths_of", "by_suffix", "problems"]
    assert [row.split()[0] for row in rows] == list(ShardMap[str, int]().stats())
    assert {len(row.split()) for row in rows} == {6}
    assert {len(line) for line in (head, *rows)} == {len(head)}
