"""The service's snapshots: loaded at the start, saved when asked, at intervals and at the end; one at a time.

A save writes beside the file and replaces it when all is on the disk: a full disk or a kill leaves the last good one.
Rules for callers: ``save`` runs in the calling thread, ``save_in_background`` in one of its own; both raise
:class:`SaveInProgressError` while another one runs. What a background save ended with is in ``last_error`` and the log.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from shardmap._core import CoreByteMap
from shardmap.errors import ConfigError
from shardmap.snapshot import dump, load

__all__ = ["NoSnapshotPathError", "SaveInProgressError", "Snapshots"]

_log = logging.getLogger(__name__)


class SaveInProgressError(RuntimeError):
    """Another snapshot is being written."""

    def __init__(self) -> None:
        super().__init__("Background save already in progress")


class NoSnapshotPathError(ConfigError):
    """There is no file to write to."""

    def __init__(self) -> None:
        super().__init__("there is no snapshot file: start the service with SHARDMAP_SNAPSHOT_PATH or --snapshot-path")


class Snapshots:
    """The snapshot file of one map, and what became of it so far."""

    def __init__(
        self,
        byte_map: CoreByteMap,
        path: str,
        report: Callable[[str, float], None] = lambda _event, _seconds: None,
        count_changes: Callable[[], int] = lambda: 0,
    ) -> None:
        self.path = os.path.abspath(path) if path else ""
        self._byte_map = byte_map
        #: Called with "snapshot-save" or "snapshot-load" and the seconds that it took.
        self._report = report
        #: Changes of the map so far, and of them those that the last good save has.
        self._count_changes = count_changes
        self._saved_changes = 0
        self._saving = threading.Lock()
        self._background: threading.Thread | None = None
        #: Of saves, the last good one; the start of the service before there is one. Unix time.
        self.last_save = time.time()
        self.last_seconds = -1.0
        #: Why the last save failed, or None.
        self.last_error: str | None = None
        self.saves = 0
        self.entries_loaded = 0
        self._began: float | None = None
        self._usable = True

    @property
    def in_progress(self) -> bool:
        """Whether one is being written."""
        return self._saving.locked()

    @property
    def seconds_in_progress(self) -> float:
        """Since when, or -1."""
        began = self._began
        return -1.0 if began is None else time.monotonic() - began

    @property
    def changes_since(self) -> int:
        """Changes of the map that no save has yet."""
        return max(self._count_changes() - self._saved_changes, 0)

    def exists(self) -> bool:
        """Whether there is a file to load."""
        return bool(self.path) and os.path.lexists(self.path)

    def load(self) -> int:
        """Load the file; how many entries there were.

        Raises :class:`shardmap.SnapshotError` for a damaged one and :class:`OSError`; the file is left as it is.
        """
        began = time.monotonic()
        # What SAVE would write meanwhile is less than what the file has.
        with self._saving:
            # Nor may a save that waits take the place of a file that could not be read.
            self._usable = False
            self.entries_loaded = load(self._byte_map, self.path, None)
            self._usable = True
            self._saved_changes = self._count_changes()
        self._report("snapshot-load", time.monotonic() - began)
        _log.info("%d entries from %s in %.2f s", self.entries_loaded, self.path, time.monotonic() - began)
        return self.entries_loaded

    def save(self, *, wait: bool = False) -> int:
        """Write the file; how many entries there were. Raises :class:`OSError`, and the old file stays."""
        self._acquire(wait)
        try:
            return self._save()
        finally:
            self._saving.release()

    def save_in_background(self) -> None:
        """Begin to write the file."""
        self._acquire(wait=False)
        try:
            self._background = threading.Thread(target=self._finish, name="shardmap-save", daemon=True)
            self._background.start()
        except BaseException:
            self._saving.release()
            raise

    def join(self) -> None:
        """Wait for the one in the background."""
        thread = self._background
        if thread is not None:
            thread.join()

    def _acquire(self, wait: bool) -> None:
        if not self.path:
            raise NoSnapshotPathError
        if not self._saving.acquire(blocking=wait):
            raise SaveInProgressError
        if not self._usable:
            self._saving.release()
            raise OSError(f"{self.path} could not be loaded, and is left as it is")

    def _finish(self) -> None:
        try:
            self._save()
        except Exception:
            # It is in the log, and in what INFO says.
            pass
        finally:
            self._saving.release()

    def _save(self) -> int:
        self._began = began = time.monotonic()
        # Before: what changes meanwhile may be in the file or not.
        changes = self._count_changes()
        try:
            entries = dump(self._byte_map, self.path, None)
        except Exception as error:
            self.last_error = str(error) or type(error).__name__
            _log.error("no snapshot: %s", self.last_error)
            raise
        finally:
            self.last_seconds = time.monotonic() - began
            self._began = None
        self.last_error = None
        self._saved_changes = changes
        self.last_save = time.time()
        self.saves += 1
        self._report("snapshot-save", self.last_seconds)
        _log.info("%d entries to %s in %.2f s", entries, self.path, self.last_seconds)
        return entries
