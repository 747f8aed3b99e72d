"""Signals while the main thread waits for a key, or runs a callback: handlers run, and what they raise comes through.

A signal that comes just before the thread begins to sleep does not wake it, as with Python's own locks; hence the
helpers send it until it has been seen.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from concurrency import AnyMap, Setup, assert_settled, give_way, join_all, on_every_setup, wait_until
from reservations import WAITING_WHEN_ABSENT, WAITING_WHEN_PRESENT, Held, plus_one

from shardmap import DeadlockError, ShardMap

pytestmark = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")


class Interrupted(BaseException):
    """Raised by the signal handler, as KeyboardInterrupt would be."""


class Handler:
    """What SIGUSR1 does: call *action*, once if `once`; counts the calls."""

    def __init__(self, action: Callable[[], object], once: bool) -> None:
        self.action = action
        self.once = once
        self.calls = 0

    def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.calls == 1 or not self.once:
            self.action()

    def send_until(self, enough: Callable[[], bool]) -> None:
        main = threading.main_thread().ident
        assert main is not None
        while not enough():
            signal.pthread_kill(main, signal.SIGUSR1)
            give_way()


def raise_interrupted() -> None:
    raise Interrupted


@pytest.fixture
def handle() -> Iterator[Callable[[Handler], None]]:
    before = signal.getsignal(signal.SIGUSR1)

    def install(handler: Handler) -> None:
        signal.signal(signal.SIGUSR1, handler)

    yield install
    # Whatever is still under way arrives at the latest now, and meets a handler that ignores it.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("present", [True, False], ids=["present", "absent"])
@on_every_setup
def test_a_waiting_writer_can_be_interrupted(setup: Setup, present: bool, handle: Callable[[Handler], None]) -> None:
    for name, (operation, *_) in (WAITING_WHEN_PRESENT if present else WAITING_WHEN_ABSENT).items():
        m = setup.new()
        if present:
            m[setup.key(0)] = 1
        handler = Handler(raise_interrupted, once=True)
        handle(handler)
        with Held(m, setup.key(0), 10):

            def interrupt() -> None:
                wait_until(lambda: m.stats()["waiting"] == 1)
                handler.send_until(lambda: handler.calls > 0)

            helper = threading.Thread(target=interrupt, daemon=True)
            helper.start()
            with pytest.raises(Interrupted):
                operation(m, setup.key(0))
            join_all([helper])
            stats = m.stats()
            assert (stats["reserved"], stats["waiting"]) == (1, 0), name
            assert m.get(setup.key(0)) == (1 if present else None)
        # The computation was not disturbed, and what was interrupted has not happened.
        assert assert_settled(m) == {setup.key(0): 10}, name


@on_every_setup
def test_a_handler_that_returns_lets_it_wait_on(setup: Setup, handle: Callable[[Handler], None]) -> None:
    """Such handlers may use the map."""
    m = setup.new()
    held = Held(m, setup.key(0), 10)

    def use_the_map() -> None:
        # A handler can interrupt a handler, and the last of them may come after the computation.
        assert m.add(setup.key(1)) > 0
        assert m.get(setup.key(0)) in (None, 10, 11)
        assert m.snapshot()[setup.key(1)] > 0
        assert m.pop(setup.key(2), None) is None

    handler = Handler(use_the_map, once=False)
    handle(handler)

    def signals() -> None:
        wait_until(lambda: m.stats()["waiting"] == 1)
        handler.send_until(lambda: handler.calls >= 5)
        held.release.set()

    helper = threading.Thread(target=signals, daemon=True)
    with held:
        helper.start()
        assert m.add(setup.key(0), 1) == 11
        join_all([helper])
    assert assert_settled(m) == {setup.key(0): 11, setup.key(1): handler.calls}


@on_every_setup
def test_a_handler_that_waits_for_the_same_key(setup: Setup, handle: Callable[[Handler], None]) -> None:
    m = setup.new()
    held = Held(m, setup.key(0), 10)
    handler = Handler(lambda: m.add(setup.key(0), 100), once=True)
    handle(handler)

    def signals() -> None:
        wait_until(lambda: m.stats()["waiting"] == 1)
        handler.send_until(lambda: handler.calls > 0)
        wait_until(lambda: m.stats()["waiting"] == 2)
        held.release.set()

    helper = threading.Thread(target=signals, daemon=True)
    with held:
        helper.start()
        m.add(setup.key(0), 1)
        join_all([helper])
    assert assert_settled(m) == {setup.key(0): 111}


@on_every_setup
def test_a_callback_can_be_interrupted(setup: Setup, handle: Callable[[Handler], None]) -> None:
    m = setup.new()
    m[setup.key(0)] = 1

    def endless(_: Any) -> Any:
        inside.set()
        while True:
            give_way()

    calls: list[Callable[[], object]] = [
        lambda: m.compute(setup.key(0), endless),
        lambda: m.compute_if_present(setup.key(0), endless),
        lambda: m.merge(setup.key(0), 0, lambda old, new: endless(old)),
        lambda: m.compute(setup.key(1), endless),
        lambda: m.compute_if_absent(setup.key(1), endless),
        lambda: m.retain(lambda key, value: endless(key)),
    ]
    for call in calls:
        inside = threading.Event()
        handler = Handler(raise_interrupted, once=True)
        handle(handler)

        def interrupt() -> None:
            inside.wait()
            handler.send_until(lambda: handler.calls > 0)

        helper = threading.Thread(target=interrupt, daemon=True)
        helper.start()
        with pytest.raises(Interrupted):
            call()
        join_all([helper])
        assert assert_settled(m) == {setup.key(0): 1}
        assert m.compute(setup.key(0), plus_one) == 2
        m[setup.key(0)] = 1


def test_the_wait_of_another_thread_is_not_disturbed(handle: Callable[[Handler], None]) -> None:
    """Handlers run in the main thread only; a thread that waits goes on waiting."""
    m: AnyMap = Setup("default", "str").new()
    handler = Handler(lambda: None, once=False)
    handle(handler)
    results: list[int] = []
    waiting = threading.Thread(target=lambda: results.append(m.add("key", 1)), daemon=True)
    with Held(m, "key", 10):
        waiting.start()
        wait_until(lambda: m.stats()["waiting"] == 1)
        assert waiting.ident is not None
        before = handler.calls
        while handler.calls < before + 5:
            signal.pthread_kill(waiting.ident, signal.SIGUSR1)
            give_way()
        assert m.stats()["waiting"] == 1
    join_all([waiting])
    assert results == [11]
    assert assert_settled(m) == {"key": 11}


def test_a_handler_that_waits_for_another_key_does_not_hide_what_its_thread_waits_for(
    handle: Callable[[Handler], None],
) -> None:
    """This thread computes "mine" and waits for "first"; its signal handler waits for "second". Whoever computes "first"
    must not be allowed to wait for "mine"."""
    m: AnyMap = ShardMap()
    outcome: list[Any] = []
    computing = threading.Event()

    def first(_: object) -> str:
        computing.set()
        wait_until(lambda: m.stats()["waiting"] == 2)
        try:
            m["mine"] = "taken"
        except DeadlockError as error:
            outcome.append(error)
        return "first"

    thread = threading.Thread(target=lambda: m.compute("first", first), daemon=True)
    with Held(m, "second", "second") as second:
        handler = Handler(lambda: m.__setitem__("second", "set by the handler"), once=True)
        handle(handler)

        def interrupt() -> None:
            wait_until(lambda: m.stats()["waiting"] == 1)
            handler.send_until(lambda: m.stats()["waiting"] == 2 or bool(outcome))
            wait_until(lambda: bool(outcome))
            second.release.set()

        interrupter = threading.Thread(target=interrupt, daemon=True)

        def mine(_: object) -> str:
            thread.start()
            computing.wait()
            interrupter.start()
            m["first"] = "set by this thread"
            return "mine"

        assert m.compute("mine", mine) == "mine"
        join_all([thread, interrupter])
    assert isinstance(outcome[0], DeadlockError)
    assert m == {"mine": "mine", "first": "set by this thread", "second": "set by the handler"}
