"""A strategy alone in a core of its own: fed market data, everything it answers kept.

The data are tables and, of recordings, the trades, quotes and mark prices. ``python -m daemon.proof.stage`` is the same
in another process, for ``told_elsewhere``: the request on stdin, the answers on stdout.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import orjson

from bus import money
from bus.bus import Bus
from bus.clock import Clock
from bus.events import Bar, InstrumentListed, Intent, MarkPrice, Quote, Trade
from bus.journal import Chain
from bus.market import Market
from bus.values import Instrument
from daemon.app import Request, Resolved, resolve
from daemon.errors import Usage
from daemon.intake import Intake, Row
from daemon.proof.side_effects import Watcher, plain
from daemon.sources import Source, merged
from daemon.wiring import build
from strategies import load
from strategies.functional import Functional, OrderGenerator
from strategies.port import Strategy

TOO_FEW = 10
CALLBACKS = (
    *("on_start", "on_trade", "on_quote", "on_book", "on_bar", "on_mark", "on_gap", "on_fill", "on_order"),
    *("on_timer", "on_stop"),
)
_NOT_COMPARED = {"provenance"}
_TIMED = {"meta", "expires_ns", "good_till_ns"}
_NO_CURVE_NS = 2**62
"""The equity curve is sampled this far apart: never."""


class Told(NamedTuple):
    """One answer and when it was given. ``wish`` from another process is the text that ``whole`` makes of it here."""

    ns: int
    wish: Any

    @property
    def whole(self) -> str:
        return self.wish if isinstance(self.wish, str) else _text(self.wish, _NOT_COMPARED)

    @property
    def brief(self) -> str:
        """What names no time."""
        return _text(self.wish, _NOT_COMPARED | _TIMED)


def _text(wish: Any, without: Container[str]) -> str:
    """A wish, or a pair of them, as text that leaves out the fields named."""
    fields = {name: value for name, value in msgspec.structs.asdict(wish).items() if name not in without}
    told = {name: _text(value, without) if isinstance(value, Intent) else value for name, value in fields.items()}
    return type(wish).__name__ + plain(told)


def upto(told: Sequence[Told], ns: int) -> Sequence[Told]:
    return told[: bisect_right(told, ns, key=lambda one: one.ns)]


class Subject:
    """The strategy in question, to be made anew as often as it takes. ``reads`` are parameters that name the data."""

    def __init__(self, resolved: Resolved, files: Sequence[Path]) -> None:
        self.resolved = resolved
        (self.entry,) = resolved.trading.strategies
        found = load.find(self.entry.use)
        self.function = None if inspect.isclass(found) else found
        known = {file.resolve(): file for file in files}
        self.reads = {
            name: known[Path(value).resolve()]
            for name, value in self.entry.params.items()
            if isinstance(value, str) and Path(value).resolve() in known
        }

    def make(self, files: Mapping[Path, Path], asked: Callable[..., Any] | None) -> Strategy:
        if asked is not None:
            adapter = type(load.load(self.entry.use, self.entry.params))
            assert issubclass(adapter, Functional | OrderGenerator), "only functions are asked in another way"
            return adapter(asked, dict(self.entry.params))
        given = {name: str(files.get(file, file)) for name, file in self.reads.items()}
        return load.load(self.entry.use, {**self.entry.params, **given})


class Stage:
    """A core with one strategy in it that keeps what it answers. ``watcher`` is told what else it does."""

    def __init__(
        self,
        subject: Subject,
        files: Mapping[Path, Path] | None = None,
        watcher: Watcher | None = None,
        asked: Callable[..., Any] | None = None,
    ) -> None:
        resolved = subject.resolved
        self.told: list[Told] = []
        self.failed: list[tuple[int, str]] = []
        make = subject.make if watcher is None else watcher.around(subject.make)
        self.strategy: Strategy = make(files or {}, asked)
        for name in CALLBACKS:
            setattr(self.strategy, name, self._kept(getattr(self.strategy, name), watcher))
        self._chain = Chain()
        seat = (subject.entry.name, self.strategy, subject.entry.instruments or None)
        self._core = build(
            resolved.trading,
            resolved.instruments,
            resolved.venues,
            self._chain,
            self._on_error,
            [seat],
            step_ns=_NO_CURVE_NS,
        )
        self._fed = 0

    @property
    def now(self) -> int:
        return self._core.clock.now

    def feed(self, rows: Sequence[Row], upto: int | None = None) -> Stage:
        """Feed what has not been fed yet of ``rows``, to the index ``upto`` or all of it."""
        end = len(rows) if upto is None else upto + 1
        if not self._fed:
            self._core.open(rows[0].local_ns)
        self._core.intake.accept_rows(rows[self._fed : end])
        self._chain.seal()
        self._fed = end
        return self

    def state(self) -> str:
        return plain(self.strategy.state())

    def _kept(self, callback: Callable[..., Any], watcher: Watcher | None) -> Callable[..., Any]:
        called = callback if watcher is None else watcher.around(callback)

        def keep(*args: Any) -> Any:
            answer = called(*args)
            if isinstance(answer, Iterator):
                answer = list(answer)
            for wish in answer if isinstance(answer, list | tuple) else [answer] if answer else ():
                self.told.append(Told(self.now, wish))
            return answer

        return keep

    def _on_error(self, where: str, error: Exception) -> None:
        self.failed.append((self.now, f"raised {type(error).__name__}: {error} (in {where})"))


def data(request: Request, bars: int) -> tuple[Resolved, list[Row], list[Path]]:
    """The first rows, and the file that each is from."""
    resolved = resolve(request)
    terms = {instrument.name: instrument for instrument in resolved.instruments}
    read = list(islice(_rows(resolved.sources, terms), bars))
    resolved = replace(resolved, instruments=list(terms.values()))
    rows, origins = [row for row, _ in read], [path for _, path in read]
    if len(rows) < 2 * TOO_FEW:
        raise Usage(
            f"{len(rows)} rows are too few to cut; give at least {2 * TOO_FEW}"
            " (of a recording, trades, quotes and mark prices are used)"
        )
    return resolved, rows, origins


def _rows(sources: Sequence[Source], terms: dict[str, Instrument]) -> Iterator[tuple[Row, Path]]:
    """What there is to hear, and the file it is from; ``terms`` of instruments that a recording lists are taken."""
    clock, heard = Clock(), list[Row]()
    bus = Bus(_raise)
    Market(list(terms.values())).attach(bus)
    for kind in (Trade, Quote, Bar, MarkPrice):
        bus.subscribe(kind, cast(Any, heard.append))
    bus.subscribe(InstrumentListed, lambda event: terms.update({event.instrument.name: event.instrument}))
    intake = Intake(clock, bus, lambda _item, _reason: None)
    for source, batch in merged(sources):
        source.accept(intake, batch)
        yield from ((row, source.path) for row in heard)
        heard.clear()


def _raise(_handler: object, _event: object, error: Exception) -> None:
    raise error


def answers(request: Request, bars: int) -> list[Told]:
    """What the strategy answers, once, with nobody watching."""
    resolved, rows, _ = data(request, bars)
    return Stage(Subject(resolved, request.files)).feed(rows).told


def told_elsewhere(request: Request, bars: int) -> list[Told]:
    """The answers of a process that hashes otherwise and lives elsewhere."""
    asked = {
        "files": [str(file.resolve()) for file in request.files],
        "strategies": list(request.strategies),
        "params": [dict(params) for params in request.params],
        "intervals": list(request.intervals),
        "config_file": str(request.config_file.resolve()) if request.config_file is not None else None,
        "overrides": list(request.overrides),
        "instrument": request.instrument,
        "bars": bars,
    }
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    environ = {**os.environ, **request.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed, "TZ": "Pacific/Chatham"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "daemon.proof.stage"],
        input=orjson.dumps(asked),
        capture_output=True,
        check=False,
        env=environ,
    )
    if done.returncode:
        raise Usage(f"in another process it does not run: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return [Told(*one) for one in orjson.loads(done.stdout.splitlines()[-1])]


def _main() -> None:
    money.install()
    sys.path.append(os.getcwd())
    asked = orjson.loads(sys.stdin.buffer.read())
    bars = asked.pop("bars")
    asked["files"] = [Path(file) for file in asked["files"]]
    asked["config_file"] = Path(asked["config_file"]) if asked["config_file"] else None
    told = answers(Request(**asked, environ=os.environ), bars)
    sys.stdout.write(orjson.dumps([(one.ns, one.whole) for one in told]).decode() + "\n")


if __name__ == "__main__":
    _main()
