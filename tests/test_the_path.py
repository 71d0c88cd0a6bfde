"""One trade is followed from its frame to the fill it led to: ``docs/architecture.md`` lists the files on its way.

What counts: a file is on the path where one of its functions is handed the trade, in whatever form it has by then (the
input, its text, the market event, the wish, the order event, the order), by the bus or by another folder, or where it
makes the next form of it. Not on it are those who only keep accounts (``portfolio/``), and a helper in the same folder
that gives back what it was given.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bus.events import Intent, OrderAccepted, OrderFilled, Record, Trade
from bus.inputs import Input
from bus.journal import Chain
from bus.values import Order
from config.schema import Process, Trading
from daemon.app import open_sources
from daemon.wiring import Core, build
from tests.acceptance import tape

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
HEADING = "The path of one trade"
FORMS = (Input, Trade, Intent, Record, Order)
ANSWERS = (OrderAccepted, OrderFilled)
BUS = "bus/bus.py"
ACCOUNTS = "portfolio/"


class Trace:
    """Which files the trade was handed to, in order of first entry. A profile hook around the calls to follow."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._forms: tuple[type, ...] = FORMS
        self._passed: dict[str, bool] = {}  # whether it counts
        self._stack: list[tuple[FrameType, str, set[type]]] = []

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        file = self._file(frame)
        if not file:
            return
        if event == "call":
            given = (frame.f_locals[word] for word in frame.f_code.co_varnames[: frame.f_code.co_argcount])
            forms = {form for value in given if (form := self._form(value))}
            if forms:
                caller = self._file(frame.f_back)
                stranger = caller == BUS or caller.partition("/")[0] != file.partition("/")[0]
                self._passed[file] = self._passed.get(file, False) or stranger
            self._stack.append((frame, file, forms))
        elif event == "return" and self._stack and self._stack[-1][0] is frame:
            _, file, forms = self._stack.pop()
            if forms and (made := self._form(arg)) and made not in forms:
                self._passed[file] = True

    def await_answer(self) -> None:
        """From here on the market goes on with other trades; of ours only the venue's answers are left."""
        self._text, self._forms = "", ANSWERS

    def path(self) -> list[str]:
        return [file for file, counts in self._passed.items() if counts and not file.startswith(ACCOUNTS)]

    def _file(self, frame: FrameType | None) -> str:
        """The file of ours that a frame runs; empty for anybody else's."""
        name = "" if frame is None else frame.f_code.co_filename
        return Path(name).relative_to(ROOT).as_posix() if name.startswith(str(ROOT)) and "/tests/" not in name else ""

    def _form(self, value: object) -> type | None:
        """The form of the trade that a value is, or is a list of."""
        if isinstance(value, list | tuple) and value:
            return self._form(value[0])
        if isinstance(value, self._forms):
            return type(value)
        return str if isinstance(value, str) and value and value == self._text else None


def opened(recording: Path) -> tuple[Core, Any, Sequence[Input]]:
    """A session on the recording, with all of its inputs at hand."""
    trading = Trading.model_validate({"strategies": [{"use": "ema_cross", "params": {"fast": 5, "slow": 20}}]})
    files = open_sources([recording], None, trading, Process(), [])
    core = build(trading, files.instruments, ["binance"], Chain(), _raise)
    (source,) = files.sources
    items = [item for batch in source.batches() for item in batch]
    core.open(next(item.ts for item in items if item.ts is not None))
    return core, source, items


def _raise(_where: str, error: Exception) -> None:
    raise error


def trace(recording: Path) -> list[str]:
    """Follow the first trade that an order comes of, to that order's first fill."""
    fills: list[OrderFilled] = []
    acted = first_to_act(recording)
    core, source, items = opened(recording)
    core.bus.subscribe(OrderFilled, fills.append)
    for item in items[:acted]:
        core.intake.accept(item, source.protocol)
    found = Trace(items[acted].raw)
    sys.setprofile(found)
    try:
        core.intake.accept(items[acted], source.protocol)
        found.await_answer()
        for item in items[acted + 1 :]:
            core.intake.accept(item, source.protocol)
            if fills:
                break
    finally:
        sys.setprofile(None)
    assert fills
    assert fills[0].intent_id == "ema_cross-1"
    return found.path()


def first_to_act(recording: Path) -> int:
    core, source, items = opened(recording)
    for number, item in enumerate(items):
        core.intake.accept(item, source.protocol)
        if core.router.orders:
            return number
    raise AssertionError("nothing in the recording leads to an order")


def listed() -> list[str]:
    """The files of the numbered list under the heading."""
    text = PAGE.read_text("utf-8")
    section = re.split(r"^#+ .*$", text[text.index(HEADING) + len(HEADING) :], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\d+\.\s+`([\w/]+\.py)`", section, re.MULTILINE)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return tape.write(tmp_path_factory.mktemp("market") / "a.jsonl", tape.synthetic(0.2))


def test_a_trade_passes_the_files_that_the_page_lists_in_that_order(recording):
    path = trace(recording)

    assert len(path) <= 9
    assert path == listed()


def test_the_page_lists_files_that_exist_each_once():
    files = listed()

    assert 0 < len(files) <= 9
    assert len(set(files)) == len(files)
    assert all((ROOT / file).is_file() for file in files)
