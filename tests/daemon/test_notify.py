"""Messages: which are said, how often, that they survive a restart, and that no secret is in one."""

from __future__ import annotations

import http.server
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
import pytest

from bus.bus import Bus
from bus.events import FeedLost, StrategyQuarantined, TradingStateChanged
from bus.values import TradingState
from config.schema import Notify, Process
from daemon.cli import app, guarded
from daemon.proof.verify import verify
from daemon.session import Session
from daemon.setup import credentials
from daemon.watch import notify
from daemon.watch.findings import Level
from daemon.watch.notify import FILE, HEARTBEAT, KINDS, Notice, Notifier, Outbox
from tests.daemon.live_world import Market, World
from tests.daemon.test_run import STRATEGY

CANARY = "canary-77aa-token"
GRAVE, PLAIN, MINOR = Level.CRITICAL, Level.WARNING, Level.INFO


class Phone:
    """Takes messages while it is ``on``."""

    def __init__(self) -> None:
        self.on = True
        self.heard: list[Notice] = []

    def __call__(self, notice: Notice) -> bool:
        if self.on:
            self.heard.append(notice)
        return self.on

    @property
    def titles(self) -> list[str]:
        return [notice.title for notice in self.heard]


@pytest.fixture
def phone() -> Phone:
    return Phone()


def outbox(tmp_path, phone, **terms) -> Outbox:
    return Outbox(tmp_path / FILE, Notify(**terms), phone)


def test_what_is_below_the_level_or_switched_off_is_not_said(tmp_path, phone):
    box = outbox(tmp_path, phone, level="warning", mute=["feed"])

    for notice in (Notice("fill", MINOR, "a"), Notice("feed", GRAVE, "b"), Notice("fault", PLAIN, "c")):
        box.take(notice, 0.0)
    box.step(0.0)

    assert phone.titles == ["c"]


def test_the_same_is_said_once_and_later_with_how_often_it_came(tmp_path, phone):
    box = outbox(tmp_path, phone, same_within_s=60)

    for now in (0.0, 1.0, 59.0, 61.0):
        box.take(Notice("fault", PLAIN, "disk", "full"), now)
        box.step(now)

    assert [notice.body for notice in phone.heard] == ["full", "full (and 2 times since it was last said)"]


def test_a_state_that_comes_back_after_another_is_said_again(tmp_path, phone):
    box = outbox(tmp_path, phone, level="warning", same_within_s=600)

    for now, state, said in ((0.0, "shadow", "ada"), (60.0, "armed", "ada"), (120.0, "shadow", "kill: 2500 bps")):
        level = GRAVE if state == "shadow" else MINOR
        box.take(Notice("state", level, f"trading is {state}", said), now)
        box.step(now)

    assert [notice.body for notice in phone.heard] == ["ada", "kill: 2500 bps"]


def test_no_more_than_so_many_go_in_a_minute_and_grave_ones_go_first(tmp_path, phone):
    box = outbox(tmp_path, phone, per_minute=2)

    for title, level in (("a", PLAIN), ("b", PLAIN), ("c", PLAIN), ("worst", GRAVE)):
        box.take(Notice("fault", level, title), 0.0)

    assert box.step(0.0) == 60.0
    assert phone.titles == ["worst", "a"]
    assert box.step(59.0) == 1.0
    assert box.step(60.0) is None
    assert phone.titles == ["worst", "a", "b", "c"]


def test_what_nobody_took_is_tried_again_later_and_later_and_by_the_next_process(tmp_path, phone):
    box = outbox(tmp_path, phone)
    phone.on = False
    box.take(Notice("fault", PLAIN, "a"), 0.0)

    assert [box.step(0.0), box.step(5.0), box.step(15.0)] == [5.0, 10.0, 20.0]
    box.close()
    phone.on = True
    following = outbox(tmp_path, phone)

    assert following.waiting() == 1
    assert following.step(0.0) is None
    assert (phone.titles, following.waiting()) == (["a"], 0)


def test_a_full_queue_loses_the_oldest_and_never_a_grave_one(tmp_path, phone):
    box = outbox(tmp_path, phone, kept=3)
    box.take(Notice("fault", GRAVE, "grave"), 0.0)

    for number in range(9):
        box.take(Notice("fault", PLAIN, str(number)), 0.0)
    box.step(0.0)

    assert phone.titles == ["grave", "6", "7", "8"]


def test_no_secret_leaves_in_a_message_or_waits_on_disk(tmp_path, phone):
    credentials.remember(CANARY)
    box = outbox(tmp_path, phone)

    box.take(Notice("fault", PLAIN, f"GET /?token={CANARY}", f"401 for {CANARY}"), 0.0)
    box.close()
    on_disk = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    again = outbox(tmp_path, phone)
    again.step(0.0)

    assert CANARY not in f"{phone.heard}"
    assert CANARY.encode() not in on_disk


def test_every_kind_can_be_switched_off():
    assert set(Notify.model_json_schema()["properties"]["mute"]["items"]["enum"]) == set(KINDS)


def test_the_bus_is_heard_and_never_waits(tmp_path, phone):
    bus = Bus(lambda handler, event, error: pytest.fail(str(error)))
    notifier = Notifier(tmp_path, Notify(kept=3), phone)
    notifier.attach(bus)

    bus.publish(TradingStateChanged(1, TradingState.HALTED, "session_drawdown", "412 > 400", []))
    for number in range(5):
        bus.publish(FeedLost(2, f"ws{number}", "reset"))
    bus.publish(StrategyQuarantined(3, "mine", "on_bar", "ZeroDivisionError"))
    assert (phone.heard, notifier.dropped) == ([], 4), "nothing is said before the thread runs"
    notifier.start().close()

    assert phone.heard[0] == Notice("state", GRAVE, "trading is halted", "session_drawdown: 412 > 400")
    assert phone.titles[1:] == ["ws0 is lost", "ws1 is lost"]


def test_a_disk_that_takes_nothing_for_a_while_silences_nobody_for_good(tmp_path, phone, monkeypatch):
    connect, refused = sqlite3.connect, threading.Event()
    full = ["DELETE FROM notices WHERE id = ?", "INSERT"]

    class Full(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if full and sql.startswith(full[-1]):
                full.pop()
                if not full:
                    refused.set()
                raise sqlite3.OperationalError("database or disk is full")
            return super().execute(sql, *parameters)

    monkeypatch.setattr(sqlite3, "connect", partial(connect, factory=Full))
    notifier = Notifier(tmp_path, Notify(), phone)
    notifier.say(Notice("finding", GRAVE, "nothing is recorded any more"))
    notifier.start()
    while not refused.wait(0.01):
        notifier.say(Notice("finding", MINOR, "below the level"))  # which has the thread look again
    notifier.say(Notice("state", GRAVE, "trading is halted"))
    notifier.close()

    assert phone.titles == ["nothing is recorded any more", "trading is halted"]


def test_a_place_that_cannot_be_opened_is_said_and_tried_again(tmp_path, phone):
    (tmp_path / FILE).mkdir()
    notifier = Notifier(tmp_path, Notify(), phone).start()
    turn = threading.Event()
    while not notifier.failed:
        turn.wait(0.001)  # that of its thread
    (tmp_path / FILE).rmdir()

    notifier.say(Notice("state", GRAVE, "trading is halted"))
    notifier.close()

    assert phone.titles == ["trading is halted"]
    assert notifier.failed == ""


def test_only_a_missed_heartbeat_is_said_and_once(tmp_path, phone):
    now = [0.0]
    notifier = Notifier(tmp_path, Notify(missed_heartbeat_s=60), phone, lambda: now[0])

    for at, turns in ((0.0, True), (30.0, True), (95.0, False), (200.0, False), (201.0, True), (202.0, True)):
        now[0] = at
        if turns:
            notifier.beat()
        notifier._heart(at)

    assert [notice.title for notice in notifier._inbox] == ["no heartbeat"]
    assert (tmp_path / HEARTBEAT).exists()
    notifier.start().close()
    assert not (tmp_path / HEARTBEAT).exists(), "an end in order is nothing to be missed"


@pytest.mark.asyncio
async def test_somebody_who_never_takes_a_message_changes_no_record_of_a_session(tmp_path, monkeypatch):
    stuck, heard = threading.Event(), []

    def deliver(notice: Notice) -> bool:
        heard.append(notice.title)
        return stuck.wait(20)

    monkeypatch.setattr(notify, "channels", lambda environ: deliver)
    monkeypatch.setattr(Notifier.close, "__defaults__", (0.05,))
    world = World(tmp_path, Market(30).lines(), "process.notify.level=info", config_text=STRATEGY)

    ended = await world.run_through()
    verdict = await verify(Session.open(ended.session))
    stuck.set()

    assert (ended.exit_code, verdict.equal, verdict.difference) == (0, True, "")
    assert ended.summary["fills"] >= 1
    assert len(heard) == 1, "the first is still on its way"


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A web hook on the loopback, and what it was sent."""
    heard: list[dict[str, str]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(orjson.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/{CANARY}", heard
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what apprise imports, not ours
def test_the_commands_reach_a_hook_through_apprise(hook, outside, monkeypatch, capsys):
    url, heard = hook
    monkeypatch.setenv("ARGUS_NOTIFY_URLS", url)
    (outside / HEARTBEAT).touch()

    assert guarded(lambda: app(["notify", "test"])) == 0
    assert guarded(lambda: app(["notify", "missed", "--state-dir", "."])) == 0
    monkeypatch.setattr(notify, "age_s", lambda _: 300.0)
    assert guarded(lambda: app(["notify", "missed", "--state-dir", "."])) == 3

    assert [(said["title"], said["type"]) for said in heard] == [
        ("Argus: a test", "info"),
        ("Argus: no heartbeat", "failure"),
    ]
    said = capsys.readouterr()
    assert CANARY not in said.out + said.err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_without_an_address_there_is_no_notifier_and_the_command_says_so(tmp_path, monkeypatch, outside):
    monkeypatch.delenv("ARGUS_NOTIFY_URLS", raising=False)
    bus = Bus(lambda handler, event, error: None)

    assert notify.begin(Process(), {}, tmp_path, bus) is None
    assert guarded(lambda: app(["notify", "test"])) == 2
    monkeypatch.setenv("ARGUS_NOTIFY_URLS", "nonsense")
    assert guarded(lambda: app(["notify", "test"])) == 2
