"""What the control socket answers, whom it refuses, and what its words do to a session that trades."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from daemon.aside import CAPACITY, Aside
from daemon.errors import NotRunning, TimedOut
from daemon.live.run import Ended, Live
from daemon.operating.client import Client, SaidNo
from daemon.proof.verify import verify
from daemon.session import Session
from daemon.watch.findings import Level
from tests.daemon.flood import CONFIG, Running
from tests.daemon.live_world import records
from tests.daemon.test_killed import in_a_process

Act = Callable[[Client, Live], Any]


def a_session(root: Path, act: Act, *settings: str, config: str = CONFIG, orders: int = 3, rate: int = 500) -> Ended:
    """A session with so many orders open; ``act`` speaks to it from a thread. Every one of them must verify."""
    text = config if "params" in config else config + f"params = {{ rungs = {orders} }}\n"
    world = Running(root, rate, *settings, config_text=text)

    async def staged(live: Live) -> None:
        done = act(Client(world.state), live)
        if asyncio.iscoroutine(done):
            await done

    async def stage(live: Live) -> None:
        await asyncio.to_thread(lambda: act(Client(world.state), live))

    ended = asyncio.run(world.through(staged if asyncio.iscoroutinefunction(act) else stage, orders=orders))
    verdict = asyncio.run(verify(Session.open(ended.session)))
    assert (verdict.equal, verdict.difference) == (True, "")
    return ended


def given(session: Path, name: str) -> dict[str, Any]:
    return next(one for one in records(session, "CommandGiven") if one["name"] == name)


def test_every_question_has_an_answer_and_a_command_is_journaled_with_who_gave_it(tmp_path: Path):
    answers: dict[str, Any] = {}

    def act(client: Client, live: Live) -> None:
        for what in ("status", "positions", "orders", "equity", "decisions", "findings", "metrics", "health"):
            answers[what] = client.get(what)
        with pytest.raises(SaidNo) as answers["refused"]:
            client.command("arm", {})
        client.command("shadow", {"reason": "lunch"})
        answers["shadow"] = client.status()
        client.command("arm", {})
        answers["armed"] = client.status()["state"]
        client.command("stop", {"reason": "enough"})

    ended = a_session(tmp_path, act)

    assert all(answer["v"] == 1 for name, answer in answers.items() if isinstance(answer, dict))
    assert len(answers["orders"]["orders"]) == 3
    assert answers["status"]["state"] == "armed"
    assert [one["type"] for one in answers["decisions"]["decisions"]] == ["Decision"] * 3
    assert "armed" in str(answers["refused"].value)
    assert answers["metrics"]["open_orders"] == 3
    assert answers["health"]["well"] is True
    assert (answers["shadow"]["state"], answers["shadow"]["held"]) == ("shadow", "shadow")
    assert answers["armed"] == "armed"
    assert given(ended.session, "shadow")["who"].endswith(f"({os.getuid()})")
    assert given(ended.session, "shadow")["payload"] == {"reason": "lunch"}
    assert (ended.exit_code, ended.reason.endswith(": enough")) == (0, True)


def test_a_restart_does_not_arm_what_somebody_disarmed(tmp_path: Path):
    def disarm(client: Client, live: Live) -> None:
        client.command("disarm", {})
        client.command("routing", {"on": False})
        client.command("stop", {})

    def look(client: Client, live: Live) -> None:
        deadline = time.monotonic() + 10
        while not (tmp_path / "state" / "control.json").exists() or client.status()["state"] != "reconciled":
            assert time.monotonic() < deadline
        time.sleep(0.05)
        found.append(client.status())
        client.command("arm", {})
        found.append(client.status())
        client.command("stop", {})

    found: list[dict[str, Any]] = []
    a_session(tmp_path, disarm)
    world = Running(tmp_path, 500, config_text=CONFIG + "params = { rungs = 3 }\n")

    asyncio.run(world.through(lambda live: asyncio.to_thread(look, Client(world.state), live), orders=0))

    assert (found[0]["state"], found[0]["held"], found[0]["routing"]) == ("reconciled", "disarm", False)
    assert any("somebody said disarm" in what for what in found[0]["findings"])
    assert (found[1]["state"], found[1]["held"]) == ("armed", "")


def test_flatten_cancels_closes_what_is_held_and_is_not_done_twice(tmp_path: Path):
    shown: list[dict[str, Any]] = []

    def act(client: Client, live: Live) -> None:
        deadline = time.monotonic() + 10
        while not client.status()["positions"]:
            assert time.monotonic() < deadline
        shown.append(client.preview("flatten", {}))
        client.command("flatten", {"within_s": 10})
        client.command("flatten", {})
        with pytest.raises(SaidNo, match="while everything is being closed"):
            client.command("shadow", {})

    ended = a_session(tmp_path, act, config=CONFIG + "params = { rungs = 3, held = 0.01 }\n")

    assert shown[0]["closes"] == {"binance:BTC/USDT": {"size": "0.00999", "mid": pytest.approx(61_000, rel=0.2)}}
    assert len(shown[0]["cancels"]) >= 2
    closing = [one for one in records(ended.session, "OrderFilled") if one["strategy"] == "flatten"]
    assert str(sum(one["size"] for one in closing)) == "0.00999"  # what the fee left of 0.01
    assert (ended.exit_code, ended.summary["state"]) == (7, "stopping")
    halted = next(one for one in records(ended.session, "TradingStateChanged") if one["state"].value == "halted")
    assert (halted["rule"], halted["reason"].endswith(": flat")) == ("flatten", True)
    words = json.loads((ended.session / "last_words.json").read_text())
    assert (words["orders"], words["positions"]) == ([], {})


def test_while_armed_limits_only_get_tighter_and_nothing_else_changes(tmp_path: Path):
    def act(client: Client, live: Live) -> None:
        file = tmp_path / "argus.toml"
        before = file.read_text()
        file.write_text(before + "[trading.limits]\nmax_notional = 20000\n")
        with pytest.raises(SaidNo, match=r"may only tighten while armed.*max_notional"):
            client.command("reload", {})
        file.write_text(before + "[trading.sizing]\nnotional = 5\n")
        with pytest.raises(SaidNo, match="restart for sizing"):
            client.command("reload", {})
        file.write_text(before + "[trading.limits]\nmax_notional = 50\nmissed_after_s = 3\n")
        with pytest.raises(SaidNo, match=r"restart for limits\.missed_after_s"):
            client.command("reload", {})
        file.write_text(before + "[trading.limits]\nmax_notional = 50\n")
        assert client.preview("reload", {})["changes"] == {"max_notional": ["10000", "50"]}
        client.command("reload", {})
        file.write_text(before)
        client.command("disarm", {})
        client.command("reload", {})
        client.command("stop", {})

    ended = a_session(tmp_path, act)

    changes = [one["changes"] for one in records(ended.session, "LimitsChanged")]
    assert changes == [{"max_notional": ("10000", "50")}, {"max_notional": ("50", "10000")}]


def test_a_command_is_heard_once_soon_and_by_whom_it_was_meant_for(tmp_path: Path):
    answers: list[tuple[int, str]] = []

    async def act(client: Client, live: Live) -> None:
        place = json.loads((tmp_path / "state" / "control.json").read_text())["socket"]
        now = time.time_ns()
        good = {"name": "routing", "payload": {"on": True}, "boot": live.boot, "nonce": "n" * 16}
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(place)) as http_session:
            for body, headers in (
                ({**good, "expires_ns": now + 10**10}, {}),
                ({**good, "expires_ns": now + 10**10}, {}),  # the same nonce
                ({**good, "nonce": "m" * 16, "expires_ns": now - 1}, {}),
                ({**good, "nonce": "m" * 16, "expires_ns": now + 10**12}, {}),
                ({**good, "nonce": "m" * 16, "boot": 7, "expires_ns": now + 10**10}, {}),
                ({**good, "nonce": "m" * 16, "expires_ns": now + 10**10}, {"Origin": "http://localhost"}),
                ({**good, "nonce": "m" * 16, "expires_ns": now + 10**10, "more": 1}, {}),
                ({**good, "nonce": "m" * 16, "name": "sell", "expires_ns": now + 10**10}, {}),
            ):
                async with http_session.post("http://argus/v1/commands", json=body, headers=headers) as answer:
                    answers.append((answer.status, await answer.text()))
        live.stop("enough")

    ended = a_session(tmp_path, act, orders=1)

    assert [status for status, _ in answers] == [200, 409, 409, 409, 409, 403, 400, 409]
    assert len([one for one in records(ended.session, "CommandGiven") if one["name"] == "routing"]) == 1


def test_the_socket_is_its_owners_alone_and_the_loopback_asks_for_the_token(tmp_path: Path):
    def act(client: Client, live: Live) -> None:
        state = tmp_path / "state"
        address = json.loads((state / "control.json").read_text())
        assert oct(os.stat(address["socket"]).st_mode & 0o777) == "0o600"
        assert oct((state / "control.token").stat().st_mode & 0o777) == "0o600"
        token = (state / "control.token").read_text()
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": f"Bearer {token}", "Host": "rebound.example:80"}, 403),
            ({"Authorization": f"Bearer {token}", "Origin": "http://127.0.0.1"}, 403),
            ({"Authorization": f"Bearer {token}"}, 200),
        ):
            wire = http.client.HTTPConnection("127.0.0.1", address["port"], timeout=5)
            wire.request("GET", "/v1/status", headers=headers)
            assert wire.getresponse().status == status, headers
            wire.close()
        client.command("stop", {})

    a_session(tmp_path, act, "process.control.loopback=true", orders=1)

    assert not (tmp_path / "state" / "control.json").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused_even_where_the_files_would_let_them_in():
    nobody = 65_534

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        codes: list[int] = []

        def act(client: Client, live: Live) -> None:
            place = Path(json.loads((root / "state" / "control.json").read_text())["socket"])

            def ask() -> None:
                os.setuid(nobody)
                wire = http.client.HTTPConnection("localhost", timeout=5)
                wire.sock = socket.socket(socket.AF_UNIX)
                try:
                    wire.sock.connect(str(place))
                except PermissionError:
                    os._exit(77)
                wire.request("GET", "/v1/status")
                os._exit(wire.getresponse().status % 256)

            codes.append(in_a_process(ask))
            for path in (root, root / "state"):
                path.chmod(0o755)
            place.chmod(0o666)
            codes.append(in_a_process(ask))
            client.command("stop", {})

        a_session(root, act, orders=1)

    assert codes == [77, 403 % 256]


def test_a_critical_finding_keeps_trading_from_being_armed_until_somebody_acknowledges_it(tmp_path: Path):
    def act(client: Client, live: Live) -> None:
        live.findings.add("the moon is out", Level.CRITICAL)
        client.command("disarm", {})
        with pytest.raises(SaidNo, match="the moon is out"):
            client.command("arm", {})
        with pytest.raises(SaidNo, match="no open finding number 9"):
            client.command("ack", {"number": 9})
        client.command("ack", {"number": client.get("findings")["findings"][-1]["number"]})
        client.command("arm", {})
        client.command("mode", {"mode": "live"})
        assert client.status()["mode_pending"] == "live"
        client.command("stop", {})

    ended = a_session(tmp_path, act, orders=1)

    assert given(ended.session, "ack")["payload"] == {"number": 1}
    assert given(ended.session, "mode")["payload"] == {"mode": "live"}


@pytest.mark.parametrize("seat", ["everything", "one kind"])
def test_an_observer_that_stopped_reading_loses_events_and_changes_no_byte(tmp_path: Path, seat: str):
    """``a_session`` verifies: what was written follows from the inputs alone, with nobody watching."""
    kinds = "" if seat == "everything" else "?types=Trade"

    async def act(client: Client, live: Live) -> None:
        place = json.loads((tmp_path / "state" / "control.json").read_text())["socket"]
        heard = None
        connector = aiohttp.UnixConnector(place)
        async with aiohttp.ClientSession(connector=connector) as http_session:
            wire = await http_session.ws_connect("http://argus/v1/stream" + kinds)
            if seat == "everything":
                live.command("routing", "a test", {"on": True})
                heard = json.loads((await wire.receive(5)).data)
            else:
                inbox = next(iter(live.attendant.control._observers)).inbox
                wire._response.connection.transport.pause_reading()  # type: ignore[union-attr]  # on the line, and deaf
                async with asyncio.timeout(15):
                    while not inbox.dropped:
                        await asyncio.sleep(0.01)
        if heard is not None:
            assert heard["events"][0]["type"] == "CommandGiven"
        live.stop("enough")

    a_session(tmp_path, act, orders=2, rate=20_000 if kinds else 500)


def test_a_log_and_a_terminal_that_hang_hold_nobody_up_and_change_no_byte(tmp_path: Path):
    hang, told = threading.Event(), []

    def act(client: Client, live: Live) -> None:
        terminal: Aside[str] = Aside(lambda _: hang.wait(20), "terminal")
        live._say = terminal
        live.log._lines._tell = lambda _: hang.wait(20)
        for _ in range(CAPACITY + 10):
            live.log.event("info", "a.line")
            terminal("a line")
        client.command("shadow", {})
        told.append((client.status()["state"], live.log.dropped > 0, terminal.dropped > 0))
        hang.set()
        client.command("stop", {})

    a_session(tmp_path, act, orders=1)

    assert told == [("shadow", True, True)]


@pytest.mark.ordeal
def test_a_halt_by_the_socket_is_done_in_time_under_a_flood(tmp_path: Path):
    for trial in range(100 if os.environ.get("ARGUS_CAMPAIGN") else 1):
        asked: list[int] = []

        def act(client: Client, live: Live) -> None:
            time.sleep(0.05)
            asked.append(time.time_ns())  # noqa: B023  # called within this turn
            client.command("halt", {})

        world = Running(tmp_path / str(trial), 20_000)
        ended = asyncio.run(world.through(lambda live: asyncio.to_thread(act, Client(world.state), live)))  # noqa: B023

        shut = next(o["ns"] for o in records(ended.session, "TradingStateChanged") if o["state"].value == "halted")
        pulled = {one["intent_id"]: one["ns"] for one in records(ended.session, "CancelRequested")}
        assert len(pulled) == len(records(ended.session, "OrderCancelled")) == 20
        assert shut - asked[0] <= 250_000_000
        assert max(pulled.values()) - asked[0] <= 1_000_000_000
        print(f"halt by the socket: gate {(shut - asked[0]) / 1e6:.1f} ms")


def test_nothing_runs_and_no_answer_are_told_apart(tmp_path: Path):
    with pytest.raises(NotRunning):
        Client(tmp_path).status()

    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen()
        (tmp_path / "control.json").write_text(json.dumps({"boot": 1, "socket": str(tmp_path / "s")}))
        with pytest.raises(TimedOut):
            Client(tmp_path, 0.05).status()
