"""The threads: each takes a path from the queue, indexes it, and takes the next, until no path is left."""

from __future__ import annotations

from collections.abc import Iterable
from queue import Empty, SimpleQueue
from threading import Event, Thread

from shardmap.demo.index import Index
from shardmap.demo.interrupts import interrupts_to
from shardmap.demo.progress import Progress

__all__ = ["index_files"]


def index_files(paths: Iterable[str], threads: int, progress: Progress) -> Index:
    """Index the files at *paths* with *threads* threads; the calling thread shows the progress.

    What one thread raises stops the others after their present file and is raised here, and so is Ctrl-C.
    """
    index = Index()
    queue: SimpleQueue[str] = SimpleQueue()
    for path in paths:
        queue.put(path)
    stop = Event()
    #: How each thread ended: what it raised, or ``None``.
    ends: SimpleQueue[BaseException | None] = SimpleQueue()

    def work() -> None:
        try:
            while not stop.is_set():
                try:
                    path = queue.get_nowait()
                except Empty:
                    break
                index.add_file(path)
        except BaseException as error:
            ends.put(error)
        else:
            ends.put(None)

    workers = [Thread(target=work, name=f"indexer-{number}") for number in range(threads)]
    with interrupts_to(lambda: ends.put(KeyboardInterrupt())):
        try:
            for worker in workers:
                worker.start()
            running = threads
            while running:
                try:
                    error = ends.get(timeout=progress.interval)
                except Empty:
                    pass
                else:
                    if error is not None:
                        raise error
                    running -= 1
                progress.show(index.progress())
        finally:
            stop.set()
            for worker in workers:
                if worker.ident is not None:
                    worker.join()
    return index
