"""Changes reach all observers and subscribers: once, in one order, outside of all locks, whatever a callback does."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest
from faults.proxy import FaultProxy, hang_after
from waiting import wait_until

from supabase_nb import AuthClient
from supabase_nb.auth._session.change_queue import Change, ChangeQueue
from supabase_nb.demo import DemoServer
from supabase_nb.models import AuthChangeEvent, AuthEvent

MakeAuth = Callable[..., AuthClient]


@pytest.fixture
def signed_in(auth: AuthClient, server: DemoServer) -> AuthClient:
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    return auth


def event(number: int) -> AuthEvent:
    return AuthEvent(AuthChangeEvent.TOKEN_REFRESHED, float(number), str(number))


class Told:
    """A change queue, and the order of its notifications."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.changes = ChangeQueue(self.set_traits)

    def set_traits(self, change: Change) -> None:
        if "n" in change.traits:
            self.order.append(f"traits {change.traits['n']}")

    def subscribe(self, name: str, then: Callable[[], object] = lambda: None) -> Any:
        def callback(kind: AuthChangeEvent, _: object) -> None:
            if kind != "INITIAL_SESSION":
                self.order.append(name)
                then()

        first = AuthEvent(AuthChangeEvent.INITIAL_SESSION, 0.0, "")
        return self.changes.subscribe(callback, first, None)

    def change(self, number: int) -> None:
        self.changes.put({"n": number}, event(number))


def test_changes_that_no_thread_delivers_are_delivered_by_the_background(
    make_auth: MakeAuth, server: DemoServer
) -> None:
    """As when Ctrl-C came between a change and its delivery."""
    auth = make_auth(auto_refresh=True)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    manager = auth._manager
    wait_until(lambda: not manager.sync.storage_changed(manager.stored_version()))  # else it works anyway
    manager.changes.put({"notices": ("put, and left",)})
    wait_until(lambda: auth.notices == ("put, and left",))


def test_a_call_that_takes_long_notifies_of_what_changes_meanwhile(
    make_auth: MakeAuth, proxy: FaultProxy, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._blocking_call.LONGEST_WAIT", 600.0)  # it is woken for this
    auth = make_auth(proxy.auth_url)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    proxy.next(hang_after)
    refreshing = threading.Thread(target=auth.refresh_session, daemon=True)
    refreshing.start()
    wait_until(lambda: auth.status == "refreshing")
    proxy.recover()
    refreshing.join(20)
    assert auth.status == "active"


@pytest.fixture
def told() -> Told:
    return Told()


def test_traits_first_then_subscribers_in_their_order(told: Told) -> None:
    told.subscribe("a")
    told.subscribe("b")
    told.change(1)
    told.change(2)
    assert told.order == []
    told.changes.flush()
    assert told.order == ["traits 1", "a", "b", "traits 2", "a", "b"]


def test_changes_made_by_a_callback_come_after_the_current_one(told: Told) -> None:
    def once() -> None:
        if told.order.count("traits 2") == 0 and len(told.order) < 3:
            told.change(2)
            told.changes.flush()

    told.subscribe("a", once)
    told.subscribe("b")
    told.change(1)
    told.changes.flush()
    assert told.order == ["traits 1", "a", "b", "traits 2", "a", "b"]


def test_a_late_subscriber_gets_only_later_changes(told: Told) -> None:
    told.change(1)
    told.subscribe("late")
    told.change(2)
    told.changes.flush()
    assert told.order == ["traits 1", "traits 2", "late"]


def test_an_unsubscribed_callback_is_not_called_for_queued_changes(told: Told) -> None:
    subscription = told.subscribe("a")
    told.change(1)
    subscription.unsubscribe()
    subscription.unsubscribe()
    told.changes.flush()
    assert told.order == ["traits 1"]


def test_many_threads_see_one_order(told: Told) -> None:
    orders: list[list[float]] = [[], []]
    for order in orders:
        told.changes.subscribe(
            lambda kind, _, order=order: order.append(len(told.order)),  # type: ignore[misc]
            AuthEvent(AuthChangeEvent.INITIAL_SESSION, 0.0, ""),
            None,
        )
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for step in range(50):
            told.change(number * 100 + step)
            told.changes.flush()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    told.changes.flush()
    assert len(told.order) == 400
    assert len(set(told.order)) == 400
    assert orders[0] == orders[1]
    assert len(orders[0]) == 401
    for number in range(8):  # each thread's own changes in its own order
        mine = [name for name in told.order if int(name.split()[1]) // 100 == number]
        assert mine == [f"traits {number * 100 + step}" for step in range(50)]


def test_before_flush_returns_it_is_delivered_even_by_another_thread(told: Told) -> None:
    go_on = threading.Event()
    told.subscribe("slow", lambda: go_on.wait(10))
    told.change(1)
    first = threading.Thread(target=told.changes.flush)
    first.start()
    wait_until(lambda: told.order == ["traits 1", "slow"])
    told.change(2)
    second = threading.Thread(target=told.changes.flush)
    second.start()
    go_on.set()
    second.join(10)
    assert "traits 2" in told.order
    first.join(10)


def test_a_blocking_callback_does_not_block_others_forever(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supabase_nb.auth._session.change_queue._FLUSH_TIMEOUT", 0.05)
    go_on = threading.Event()
    told.subscribe("blocked", lambda: go_on.wait(30))
    told.change(1)
    thread = threading.Thread(target=told.changes.flush)
    thread.start()
    wait_until(lambda: "blocked" in told.order)
    told.change(2)
    told.changes.flush()  # returns
    assert "traits 2" not in told.order
    go_on.set()
    thread.join(10)
    assert told.order == ["traits 1", "blocked", "traits 2", "blocked"]


def test_a_callback_may_wait_for_a_task_that_changes_something(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its context, so that it is known to be inside: nothing waits for what waits for it."""
    monkeypatch.setattr("supabase_nb.auth._session.change_queue._FLUSH_TIMEOUT", 30.0)

    def in_a_thread() -> None:
        context = contextvars.copy_context()
        thread = threading.Thread(target=lambda: context.run(told.changes.flush))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()

    told.subscribe("a", in_a_thread)
    told.change(1)
    told.changes.flush()
    assert told.order == ["traits 1", "a"]


def test_ctrl_c_in_a_callback_reaches_the_others_and_then_the_caller(told: Told) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    told.subscribe("a", interrupt)
    told.subscribe("b")
    told.change(1)
    with pytest.raises(KeyboardInterrupt):
        told.changes.flush()
    assert told.order == ["traits 1", "a", "b"]
    told.change(2)
    with pytest.raises(KeyboardInterrupt):
        told.changes.flush()
    assert told.order == ["traits 1", "a", "b", "traits 2", "a", "b"]


def test_work_interrupted_by_ctrl_c_is_finished_next_time(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two steps of the delivery: nothing is lost, nothing comes twice."""
    told.subscribe("a")
    told.subscribe("b")
    told.changes.flush()
    told.change(1)
    original, steps = told.changes._notify, []

    def tell(change: Change, subscription: Any) -> Any:
        steps.append(subscription)
        if len(steps) == 2:
            raise KeyboardInterrupt
        return original(change, subscription)

    monkeypatch.setattr(told.changes, "_notify", tell)
    with pytest.raises(KeyboardInterrupt):
        told.changes.flush()
    assert told.order == ["traits 1"]
    assert told.changes.is_stalled
    told.changes.flush()
    assert told.order == ["traits 1", "a", "b"]
    assert not told.changes.is_stalled


# -- a client's callbacks may call any method ---------------------------------------------------------------

METHODS: dict[str, Callable[[AuthClient, dict[str, Any]], object]] = {
    "get_session": lambda auth, pair: auth.get_session(),
    "get_user": lambda auth, pair: auth.get_user(),
    "refresh_session": lambda auth, pair: auth.refresh_session(),
    "set_session": lambda auth, pair: auth.set_session(pair["access_token"], pair["refresh_token"]),
    "sign_out": lambda auth, pair: auth.sign_out("local"),
    "update_user": lambda auth, pair: auth.update_user({"data": {"name": "Ada"}}),
    "subscribe": lambda auth, pair: auth.on_auth_state_change(lambda event, session: None).unsubscribe(),
    "observe": lambda auth, pair: auth.observe(lambda change: None, "session"),
    "set_notice": lambda auth, pair: auth.set_notice("test", "A notice."),
    "auto refresh": lambda auth, pair: (auth.start_auto_refresh(), auth.stop_auto_refresh()),
    "close": lambda auth, pair: auth.close(),
    "a loop of its own": lambda auth, pair: asyncio.run(refreshed(auth)),
}


async def refreshed(auth: AuthClient) -> None:
    await auth.aio.refresh_session()


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
@pytest.mark.parametrize("call", METHODS.values(), ids=METHODS.keys())
def test_a_callback_may_call_any_method(
    call: Callable[[AuthClient, dict[str, Any]], object],
    background: bool,
    make_auth: MakeAuth,
    server: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # If one of them had to wait for the delivery that it is called by, this would time out.
    monkeypatch.setattr("supabase_nb.auth._session.change_queue._FLUSH_TIMEOUT", 60.0)
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)
    auth = make_auth(auto_refresh=background)
    pair, other = server.sign_in(), server.sign_in("grace@example.com")
    auth.set_session(pair["access_token"], pair["refresh_token"])
    called: list[str] = []
    seen: list[str] = []

    def callback(event: AuthChangeEvent, _: object) -> None:
        if event == "TOKEN_REFRESHED" and not called:
            called.append("begin")
            call(auth, other)
            called.append("end")

    auth.on_auth_state_change(callback)
    auth.on_auth_state_change(lambda event, _: seen.append(str(event)))
    if background:  # another kernel's rotation, seen by the refresher
        make_auth().refresh_session()
    else:
        auth.refresh_session()
    wait_until(lambda: called == ["begin", "end"])
    wait_until(lambda: len(seen) >= 2)
    # What the callback caused comes after what it was called for, for everybody.
    assert seen[:2] == ["INITIAL_SESSION", "TOKEN_REFRESHED"]
    assert "raised" not in caplog.text


def test_an_observer_of_a_trait_may_call_any_method(signed_in: AuthClient) -> None:
    seen: list[Any] = []

    def observer(change: Any) -> None:
        seen.append(change.new)
        if len(seen) == 1:
            signed_in.refresh_session()

    signed_in.observe(observer, "session")
    signed_in.refresh_session()
    assert len(seen) == 2
    assert seen[1] == signed_in.session


def test_a_subscriber_that_blocks_stops_no_refresh(
    make_auth: MakeAuth, server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The background keeps refreshing, although events are delayed."""
    monkeypatch.setattr("supabase_nb.auth._session.scheduler.TICK", 0.05)
    auth = make_auth(auto_refresh=True)
    pair = server.sign_in()
    auth.set_session(pair["access_token"], pair["refresh_token"])
    go_on, blocked = threading.Event(), threading.Event()
    seen: list[str] = []

    def blocks(event: AuthChangeEvent, _: object) -> None:
        if event == "TOKEN_REFRESHED" and not blocked.is_set():
            blocked.set()
            go_on.wait(30)

    auth.on_auth_state_change(blocks)
    auth.on_auth_state_change(lambda event, _: seen.append(str(event)))
    other = make_auth()
    other.get_session()
    other.refresh_session()  # seen by the refresher, whose callback blocks
    assert blocked.wait(20)
    for _ in range(2):
        renewed = other.refresh_session().session
        wait_until(lambda: auth.get_session() == renewed)  # noqa: B023
    assert seen == ["INITIAL_SESSION"]
    go_on.set()
    wait_until(lambda: seen == ["INITIAL_SESSION"] + ["TOKEN_REFRESHED"] * 3)


def test_exactly_one_event_per_change(signed_in: AuthClient, server: DemoServer) -> None:
    seen: list[str] = []
    signed_in.on_auth_state_change(lambda event, _: seen.append(str(event)))
    signed_in.get_session()
    signed_in.get_user()
    signed_in.set_notice("test", "A notice.")
    assert seen == ["INITIAL_SESSION"]
    signed_in.refresh_session()
    signed_in.update_user({"data": {"name": "Ada"}})
    signed_in.sign_out("local")
    signed_in.sign_out("local")
    assert seen == ["INITIAL_SESSION", "TOKEN_REFRESHED", "USER_UPDATED", "SIGNED_OUT"]
    assert [str(event.kind) for event in signed_in.events][-3:] == seen[1:]


def test_initial_session_comes_first_though_a_change_is_on_its_way(signed_in: AuthClient) -> None:
    orders: list[list[str]] = [[] for _ in range(20)]
    start = threading.Barrier(2)

    def refresh() -> None:
        start.wait()
        for _ in range(5):
            signed_in.refresh_session()

    thread = threading.Thread(target=refresh)
    thread.start()
    start.wait()
    for order in orders:
        signed_in.on_auth_state_change(lambda event, _, order=order: order.append(str(event)))  # type: ignore[misc]
    thread.join(30)
    for order in orders:
        assert order[0] == "INITIAL_SESSION"
        assert set(order[1:]) <= {"TOKEN_REFRESHED"}
    assert [len(order) for order in orders] == sorted((len(order) for order in orders), reverse=True)
