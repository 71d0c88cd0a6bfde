"""A process that does not listen any more: gone within three seconds, and what it had open is known."""

from __future__ import annotations

import ast
import asyncio
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from bus import money
from bus.bus import Bus
from bus.events import OrderApproved, OrderFilled, OrderReplaced, OrderSubmitted
from bus.journal import Journal
from bus.values import Liquidity, MatchSource, Order, OrderType, Side
from daemon.live import state
from daemon.live.ending import open_orders
from daemon.live.run import Live
from daemon.operating import panic
from tests.daemon.flood import CONFIG, Running
from tests.daemon.live_world import records
from tests.daemon.test_killed import in_a_process

PANIC = Path(panic.__file__)
ROOT = PANIC.parents[2]
STUCK = """
import asyncio, sys
from pathlib import Path
from typing import Any
from bus import money
from tests.daemon.flood import Running

def wedge(live):
    print("stuck", flush=True)
    while True:
        pass

money.install()
asyncio.run(Running(Path(sys.argv[1]), 500).through(wedge))
"""


@contextmanager
def a_process_that_is_stuck(root: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", STUCK, str(root)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        try:
            assert one.stdout.readline() == "stuck\n"
            yield one
        finally:
            one.kill()


def test_it_imports_nothing_of_ours_and_nothing_that_is_not_pythons_own():
    tree = ast.parse(PANIC.read_text("utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_a_wedged_loop_is_gone_in_three_seconds_and_the_next_start_takes_its_orders_back(tmp_path: Path):
    with a_process_that_is_stuck(tmp_path) as stuck:
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-I", str(PANIC), "--state-dir", str(tmp_path / "state"), "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        took_s = time.monotonic() - begun

        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert stuck.wait(1) == -signal.SIGKILL
    assert took_s <= 3.0
    state.Lock(tmp_path / "state" / "lock").release()
    session = Path(json.loads((tmp_path / "state" / "state.json").read_text())["session"])
    words = json.loads((session / "last_words.json").read_text())
    assert words["panic"] is True
    assert len(words["orders"]) == 20
    assert words["orders"] == said["orders"]

    world = Running(tmp_path, 200)

    async def look(live: Live) -> None:
        async with asyncio.timeout(10):
            while live.core.exposure.count() or live.core.switch.state.value != "reconciled":
                await asyncio.sleep(0.01)
        live.stop("enough")

    ended = asyncio.run(world.through(look, orders=0))

    cancelled = {one["client_id"] for one in records(ended.session, "OrderCancelled")}
    assert cancelled == {one["client_id"] for one in words["orders"]}
    assert not records(ended.session, "OrderFilled")
    assert any("argus panic ended" in what for what in world.said)
    assert json.loads((ended.session / "last_words.json").read_text())["orders"] == []


def test_a_process_that_listens_is_asked_and_ends_by_itself(tmp_path: Path):
    world, done = Running(tmp_path, 500, config_text=CONFIG + "params = { rungs = 3 }\n"), []

    async def act(live: Live) -> None:
        done.append(await asyncio.to_thread(panic._ask, world.state))

    ended = asyncio.run(world.through(act, orders=3))

    assert done[0].startswith("halted, by ")
    assert (ended.exit_code, ended.summary["orders_left"]) == (7, 0)
    assert panic.panic(world.state)["steps"][0] == "nothing runs there"


def test_it_reads_of_a_journal_what_the_core_knew_in_a_session_and_in_the_one_that_continues_it(tmp_path: Path):
    config = CONFIG + "params = { rungs = 5, held = 0.01 }\n"
    read: list[bool] = []

    def reads_the_same(live: Live) -> bool:
        held = {name: money.plain(p.size) for name, p in live.core.ledger.positions.items()}
        orders = open_orders(live.core)
        return len(orders) >= 4 and panic.what_was_open(live.session.journal) == (orders, held)

    async def die(live: Live) -> None:
        async with asyncio.timeout(10):
            while not live.core.ledger.positions:
                await asyncio.sleep(0.01)
        os._exit(17 if reads_the_same(live) else 1)  # as who is killed: nothing is taken back

    async def look(live: Live) -> None:
        read.append(reads_the_same(live))
        live.stop("enough")

    code = in_a_process(lambda: asyncio.run(Running(tmp_path, 500, config_text=config).through(die, orders=4)))  # type: ignore[arg-type]
    asyncio.run(Running(tmp_path, 500, config_text=config).through(look, orders=0))

    assert (code, read) == (17, [True])


def test_of_an_order_that_was_moved_it_names_what_had_not_filled_before(tmp_path: Path):
    terms = Order("s-1", "s", "v:BTC/USDT", Side.BUY, OrderType.LIMIT, D(10), D(99))
    first = OrderFilled(
        *(3, "c-1", "s-1", "s", "v:BTC/USDT", "f", Side.BUY, D(99), D(4), D(0), "USDT"),
        *(Liquidity.MAKER, 1, D(6), MatchSource.TRADE, "m"),
    )
    chain = Journal(tmp_path / "journal.db")
    moved = OrderReplaced(4, "c-1", D(98), D(12), 4)
    bus = Bus(lambda _handler, _event, error: pytest.fail(str(error)))
    chain.attach(bus)
    for record in (OrderApproved(1, terms, 100.0), OrderSubmitted(2, "c-1", "s-1"), first, moved):
        bus.publish(record)
    chain.close()

    orders, held = panic.what_was_open(tmp_path / "journal.db")

    assert [(one["price"], one["leaves"]) for one in orders] == [("98", "8")]
    assert held == {"v:BTC/USDT": "4"}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"session": 3}', "\xff", '{"session": "gone"}'])
def test_where_nobody_can_say_which_session_it_was_that_is_said(outside: Path, capsys, text: str):
    (outside / "state.json").write_bytes(text.encode("latin-1"))

    assert panic.main(["--state-dir", "."]) == 0, "nothing runs there, and that is what was asked for"
    assert "what was open is NOT known" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"orders": [{}]}', '{"orders": 3}', '{"positions": []}'])
def test_last_words_that_are_damaged_are_said_to_be(outside: Path, capsys, text: str):
    (outside / "state.json").write_text(json.dumps({"session": "."}))
    (outside / "last_words.json").write_text(text)

    assert panic.main(["--state-dir", "."]) == 0
    assert "what was open is NOT known" in capsys.readouterr().err
    assert (outside / "last_words.json").read_text() == text


@pytest.mark.parametrize("word", ["", "-1", "0", "1", "somebody"])
def test_nobody_is_ended_where_the_lock_names_no_process(outside: Path, capsys, monkeypatch, word: str):
    """kill(-1) would end everything that may be ended, and kill(0) who is asking."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _number: killed.append(pid))
    (outside / "state.json").write_text(json.dumps({"session": "."}))
    (outside / "last_words.json").write_text("{}")
    lock = outside / "lock"
    lock.write_text(word)

    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert panic.main(["--state-dir", "."]) == 1

    assert killed == []
    assert "end that process by hand" in capsys.readouterr().err


def test_a_lock_that_may_not_be_opened_is_nobodys_proof_of_an_end(outside: Path, capsys, monkeypatch):
    (outside / "state.json").write_text(json.dumps({"session": "."}))
    (outside / "lock").write_text("4711")
    opened = os.open

    def refuse(path: Any, *words: Any, **more: Any) -> int:
        if str(path) == "lock":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *words, **more)

    monkeypatch.setattr(os, "open", refuse)

    assert panic.main(["--state-dir", "."]) == 1
    assert "run this as whom the process runs as" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "code"), [(["--state-dir", "nowhere"], 3), (["--config", "nowhere.toml"], 2)])
def test_where_nothing_ever_ran_it_says_so(outside: Path, words: list[str], code: int):
    assert panic.main(words) == code


def test_a_session_that_left_no_word_gets_one_and_one_that_did_keeps_it(tmp_path: Path):
    session = tmp_path / "s"
    session.mkdir()
    (tmp_path / "state.json").write_text(json.dumps({"session": str(session)}))

    first = panic.panic(tmp_path)
    words = (session / "last_words.json").read_text()
    os.utime(session / "last_words.json", (1, 1))
    panic.panic(tmp_path)

    assert first["exit_code"] == 0
    assert "NOT known" in json.loads(words)["findings"][0]
    assert (session / "last_words.json").stat().st_mtime == 1
