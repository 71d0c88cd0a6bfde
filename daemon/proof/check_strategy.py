"""Whether a strategy can be fooled by the future, and whether it does anything besides answering.

The strategy is run over market data (``stage.py``) and everything it answers is kept. Then it is asked again about
pasts that are the same and futures that are not (``attacks.py``). Whatever moves at or before the cut was read from the
future, and the first bar where it moved is named. A strategy that is given the data file itself as a parameter is given
the altered file.

A function over a frame is asked in the documented way as well, ``closed_only=True`` with a last row that is still
forming: it must drop that row before it computes anything, so no shape of it may change the answer.
"""

from __future__ import annotations

import tempfile
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from bus.events import Bar
from bus.values import Action
from daemon.app import Request
from daemon.errors import Usage
from daemon.intake import Row
from daemon.proof import attacks
from daemon.proof.side_effects import READ, Watcher, plain
from daemon.proof.stage import TOO_FEW, Stage, Subject, Told, data, told_elsewhere, upto
from daemon.reading.digest import iso
from daemon.sources import is_table

CUTS = 50
BARS = 1_000
CHECKS: Mapping[str, str] = {
    "runs": "runs without raising",
    "effects": "does nothing but answer",
    "again": "answers the same when asked again",
    "truncate": "the future cut off",
    "scramble": "the future scrambled",
    "scale": "the future times three",
    "forming": "bars that are still forming",
    "later": "everything seven days later",
}
Watch = Callable[[float], None]


class Finding(NamedTuple):
    """``row`` counts from 0; None: it was before the first one."""

    check: str
    row: int | None
    time: str
    what: str


@dataclass
class Verdict:
    strategy: str
    rows: int
    cuts: int
    answers: int
    orders: int
    findings: list[Finding] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.findings

    def add(self, check: str, row: int | None, rows: Sequence[Row], what: str) -> None:
        """Of each check the earliest is kept; of effects, which differ in kind, all."""
        time = iso(rows[row].local_ns) if row is not None else "before the first row"
        if any(f.what == what and f.check == check for f in self.findings):
            return
        if check != "effects":
            earlier = next((f for f in self.findings if f.check == check), None)
            if earlier is not None and (earlier.row or 0) <= (row or 0):
                return
            self.findings = [f for f in self.findings if f is not earlier]
        self.findings.append(Finding(check, row, time, what))


def check(
    request: Request, *, cuts: int = CUTS, bars: int = BARS, elsewhere: bool = True, watch: Watch | None = None
) -> Verdict:
    """Run every attack. ``elsewhere`` also asks another process, with other hash seeds and another time zone.

    Raises Usage, BadSource, UnknownStrategy, BadParameter, ConfigError.
    """
    report = watch or (lambda fraction: None)
    resolved, rows, origins = data(request, bars)
    subject = Subject(resolved, request.files)
    at = _cuts(rows, cuts)
    asking = Asking(subject.function, {rows[cut].local_ns for cut in at}) if subject.function is not None else None

    stage = Stage(subject, asked=asking)
    if asking is not None:
        asking.stage = stage
    states = {cut: stage.feed(rows, cut).state() for cut in at}
    base = stage.feed(rows).told
    orders = sum(getattr(told.wish, "action", None) is not Action.HOLD for told in base)
    verdict = Verdict(subject.entry.use, len(rows), len(at), len(base), orders)
    for ns, text in stage.failed:
        verdict.add("runs", _row(rows, ns), rows, text)
    report(0.1)
    _watched(verdict, subject, rows, base)
    report(0.2)
    if elsewhere:
        _compare(verdict, "again", rows, base, told_elsewhere(request, bars))
    report(0.3)
    _compare(verdict, "forming", rows, base, Stage(subject).feed(attacks.forming(rows)).told)
    if not subject.reads:  # whoever looks times up in the file would miss them all
        _compare(verdict, "later", rows, base, Stage(subject).feed(attacks.later(rows)).told, attacks.WEEK_NS)
    with tempfile.TemporaryDirectory() as folder:
        for number, cut in enumerate(at):
            if asking is not None:
                asking.attack(verdict, rows, cut)
            else:
                _attack(verdict, subject, rows, origins, cut, base, states[cut], Path(folder))
            report(0.4 + 0.6 * number / len(at))
    order = list(CHECKS)
    verdict.findings.sort(key=lambda finding: order.index(finding.check))
    return verdict


def tables(files: Sequence[Path], instruments: Sequence[str]) -> str:
    """The setting by which each table of bars, in their order, is its own instrument's. Raises Usage."""
    named = [file for file in files if is_table(file)]
    if len(named) != len(instruments) or len({file.name for file in named}) < len(named):
        raise Usage(
            f"{len(instruments)} instruments are named for {len(named)} tables; name one for each, tables by names that"
            " differ, or say in [[process.tables]] what each is"
        )
    entries = [
        f'{{match = {orjson.dumps(file.name).decode()}, instrument = {orjson.dumps(name).decode()}, content = "bars"}}'
        for file, name in zip(named, instruments, strict=True)
    ]
    return f"process.tables=[{', '.join(entries)}]"


def document(verdict: Verdict) -> dict[str, Any]:
    return {
        "strategy": verdict.strategy,
        "clean": verdict.clean,
        "rows": verdict.rows,
        "cuts": verdict.cuts,
        "answers": verdict.answers,
        "wishes": verdict.orders,
        "findings": [finding._asdict() for finding in verdict.findings],
    }


def _cuts(rows: Sequence[Row], count: int) -> list[int]:
    """Spread over the rows, never between two of one moment."""
    able = [n for n in range(TOO_FEW, len(rows) - 1) if rows[n].local_ns < rows[n + 1].local_ns]
    step = max(1, len(able) // count)
    return able[step - 1 :: step][:count]


def _attack(
    verdict: Verdict,
    subject: Subject,
    rows: Sequence[Row],
    origins: Sequence[Path],
    cut: int,
    base: Sequence[Told],
    state: str,
    folder: Path,
) -> None:
    """The same past with other futures: in the rows and, where the strategy reads them itself, in the file."""
    known = upto(base, rows[cut].local_ns)
    for name, attack in attacks.FUTURES.items():
        altered = attack(rows, cut)
        files = {
            file: attacks.alter_file(file, name, origins[: cut + 1].count(file), folder)
            if is_table(file)
            else attacks.alter_recording(file, name, rows[cut].local_ns, folder)
            for file in set(subject.reads.values())
        }
        stage = Stage(subject, files).feed(altered, cut)
        if stage.state() != state and not subject.reads:
            verdict.add(name, cut, rows, "its state() at the cut is another one")
        told = upto(stage.feed(altered).told, rows[cut].local_ns)
        _compare(verdict, name, rows, known, told)


def _watched(verdict: Verdict, subject: Subject, rows: Sequence[Row], base: Sequence[Told]) -> None:
    watcher = Watcher()
    stage = Stage(subject, watcher=watcher)
    watcher.place = lambda: stage.now
    told = stage.feed(rows).told
    for effect, ns in watcher.found.values():
        if effect.kind == READ and ns is None:
            continue  # a model is read while the strategy is built
        place = f" at {effect.where}" if effect.where else ""
        verdict.add("effects", None if ns is None else _row(rows, ns), rows, f"{effect.kind}: {effect.call}{place}")
    _compare(verdict, "again", rows, base, told)


def _compare(
    verdict: Verdict, name: str, rows: Sequence[Row], base: Sequence[Told], other: Sequence[Told], shift_ns: int = 0
) -> None:
    """Note the first answer that is not the same; a shifted run is compared by what names no time."""
    for was, now in zip_longest(base, other):
        if not _same(was, now, shift_ns):
            times = [was.ns] if was is not None else []
            times += [now.ns - shift_ns] if now is not None else []
            verdict.add(name, _row(rows, min(times)), rows, f"{_words(was)} became {_words(now)}")
            return


def _same(was: Told | None, now: Told | None, shift_ns: int) -> bool:
    if was is None or now is None or was.ns != now.ns - shift_ns:
        return False
    if shift_ns:
        return was.brief == now.brief
    return bool(was.wish == now.wish) or was.whole == now.whole


class Asking:
    """Asks a function as the adapter does, keeps what it was asked at the cuts, and asks again as one who polls."""

    stage: Stage

    def __init__(self, function: Callable[..., Any], wanted: set[int]) -> None:
        self._function = function
        self._wanted = wanted
        self._kept: dict[int, list[tuple[Any, Any, Any]]] = {}

    def __call__(self, df: Any, ctx: Any, *, closed_only: bool = True) -> Any:
        wanted = self.stage.now in self._wanted
        before = (df.copy(), deepcopy(ctx)) if wanted else (None, None)
        answer = self._function(df, ctx, closed_only=closed_only)
        if wanted:
            self._kept.setdefault(self.stage.now, []).append((*before, answer))
        return answer

    def attack(self, verdict: Verdict, rows: Sequence[Row], cut: int) -> None:
        row = rows[cut]
        for frame, ctx, answer in self._kept.get(row.local_ns, ()):
            interval_ns = row.interval_ns if isinstance(row, Bar) else 1
            self._one(verdict, rows, cut, frame, ctx, answer, interval_ns)

    def _one(
        self, verdict: Verdict, rows: Sequence[Row], cut: int, frame: Any, ctx: Any, answer: Any, interval_ns: int
    ) -> None:
        given = frame.copy()
        again = self._function(given, deepcopy(ctx), closed_only=False)
        if not given.equals(frame):
            verdict.add("effects", cut, rows, "it changed the frame it was given")
        if plain(again) != plain(answer):
            verdict.add("again", cut, rows, f"{_decision(answer)} became {_decision(again)}")
        first: Any = None
        for name, longer in attacks.polled(frame, interval_ns, cut).items():
            polled = self._function(longer, deepcopy(ctx), closed_only=True)
            first = first or polled
            if _decision(polled) != _decision(answer):
                verdict.add(name, cut, rows, f"{_decision(answer)} became {_decision(polled)}")
            elif plain(polled) != plain(first):
                verdict.add(name, cut, rows, "the row that is still forming shows in its meta")
        moved = dict(ctx, now_ns=ctx["now_ns"] + attacks.WEEK_NS)
        later = self._function(attacks.later_frame(frame), moved, closed_only=False)
        if _decision(later) != _decision(answer):
            verdict.add("later", cut, rows, f"{_decision(answer)} became {_decision(later)}")


def _row(rows: Sequence[Row], ns: int) -> int:
    """The last row heard by then."""
    return max(0, bisect_right(rows, ns, key=lambda row: row.local_ns) - 1)


_DECISION = ("action", "confidence", "desired_exposure_frac", "horizon_hours", "reason")


def _decision(answer: Any) -> str:
    if not isinstance(answer, Mapping):
        return plain(answer)
    return plain({name: answer[name] for name in _DECISION if name in answer})


def _words(told: Told | None) -> str:
    return "nothing" if told is None else told.whole
