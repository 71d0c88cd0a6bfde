"""What a live session leaves behind: its state for the next one, its last words for a person.

``handover.json`` is the state in which the strategies were stopped, to spare the next start the time of making it again
from the recording; it counts only while it names the journal's last record. ``last_words.json`` says how it ended and
what was open then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from bus import money
from bus.events import StateRestored
from bus.journal import Chain, Entry, read
from bus.values import ZERO
from daemon import session
from daemon.errors import Usage
from daemon.live import memory
from daemon.proof import refold
from daemon.reading import export, snapshots
from daemon.reading.digest import Reading
from daemon.session import Session
from daemon.wiring import Core
from portfolio import metrics
from portfolio.equity import CannotValue
from strategies.runner import is_another

HANDOVER = "handover.json"
LAST_WORDS = "last_words.json"
PORTFOLIO = "portfolio_state.json"


def open_orders(core: Core) -> list[dict[str, Any]]:
    """Every order that may still fill, JSON-ready."""
    return [
        {
            "client_id": order.client_id,
            "intent_id": order.intent_id,
            "instrument": order.order.instrument,
            "side": order.order.side.value,
            "type": order.order.type.value,
            "price": None if order.price is None else money.plain(order.price),
            "leaves": money.plain(order.leaves),
        }
        for order in core.exposure.open_orders()
    ]


def anything_open(core: Core) -> bool:
    """Whether we, or the venue, know of an order that is not over."""
    return bool(core.exposure.count()) or next(core.venue.open_orders(), None) is not None


class Handed:
    """The state after a session's last input and before its end: bars that are forming still are. Its parentage is told
    once the last record is there.
    """

    def __init__(self) -> None:
        self._state: StateRestored | None = None

    def take(self, core: Core) -> None:
        self._state = memory.remember(core, "", 0, b"")

    def of(self, written: Session, chain: Chain) -> StateRestored | None:
        """None where the session could not be ended."""
        if self._state is None:
            return None
        parent, seq, head = written.path.name, chain.seq - 1, chain.head.hex()
        return msgspec.structs.replace(self._state, parent=parent, parent_seq=seq, parent_head=head)

    def write(self, written: Session, chain: Chain) -> None:
        if (state := self.of(written, chain)) is not None:
            session.replace_file(written.path / HANDOVER, msgspec.json.encode(state))


class HandOver(NamedTuple):
    """The state a session left, and what was found on the way. ``unexplained`` says which records of its journal no
    input explains and what became of them, empty where all are: somebody must look before anything is sent.
    """

    state: StateRestored
    found: list[str]
    unexplained: str = ""


def hand_over(before: Session) -> HandOver:
    """What ``before`` left. The journal decides; where another file says something else, that is a finding. Raises
    SessionError, JournalError.
    """
    last = refold.last_record(before)
    found = _differences(before)
    try:
        said = msgspec.json.decode((before.path / HANDOVER).read_bytes(), type=StateRestored)
    except FileNotFoundError:
        pass
    except msgspec.DecodeError as error:
        found.append(f"{HANDOVER} of {before.path.name} is not readable ({error}); the recording was run again")
    else:
        if said.parent_head == last.hash.hex():
            return HandOver(said, found)
        found.append(f"{HANDOVER} of {before.path.name} is not of its last record; the recording was run again")
    left = refold.left_by(before)
    return HandOver(left.state, found, _unexplained(before, left.unexplained))


def _unexplained(before: Session, tail: Sequence[Entry]) -> str:
    if not tail:
        return ""
    first = tail[0]
    return (
        f"records {first.seq} to {tail[-1].seq} of {before.path.name} are not explained by its recording (the power"
        f" failed, or files were lost), the first being {first.body[:160].decode(errors='replace')}; fills and funding"
        f" in them were believed, orders that were open are taken as cancelled; look (argus export {before.path}), then"
        " say argus ack and argus arm"
    )


def must_fit(parent: Path, state: StateRestored, asset: str, venues: Sequence[str]) -> None:
    """Raises Usage where a session with these settings cannot go on from ``state``."""
    before: str = Session.open(parent).manifest["config"]["trading"]["asset"]
    if before != asset:
        raise Usage(f"{parent} was in {before}, this is to be in {asset}; give it a state directory of its own")
    for sent in state.sent:
        venue = sent.instrument.partition(":")[0]
        if venue not in venues:
            raise Usage(f"{parent} left {sent.client_id} open at {venue}, which has no feed here; give it one again")


def changed(state: StateRestored, core: Core) -> list[str]:
    """What does not go on as ``state`` was left, because the settings are others: a line for each."""
    seated = dict(core.runner.strategies())
    found = []
    for seat in state.seats:
        strategy = seated.get(seat.id)
        if strategy is None:
            found.append(f"{seat.id} is gone: what it had open is cancelled, what it held stays")
        elif is_another(strategy, seat):
            now = type(strategy).__name__
            found.append(
                f"{seat.id} was {seat.kind} and is {now}: it begins anew, and what the other had open is cancelled"
            )
    return found + [
        f"{name}: no book says which strategy has the {money.plain(core.ledger.inventory(name))} that is held; "
        "argus flatten closes it"
        for name in core.oversight.nobodys
    ]


def _differences(before: Session) -> list[str]:
    """Where ``portfolio_state.json`` says something else than the journal."""
    path = before.path / PORTFOLIO
    if not path.is_file():
        return []
    reading = Reading()
    for entry in read(before.journal):
        reading.note(entry, entry.event())
    made = orjson.loads(orjson.dumps(snapshots.portfolio_state(reading)))
    try:
        said = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        return [f"{PORTFOLIO} of {before.path.name} is not readable ({error}); the journal was believed"]
    if not isinstance(said, dict):
        return [f"{PORTFOLIO} of {before.path.name} is no object; the journal was believed"]
    return [
        f"{PORTFOLIO} of {before.path.name} has another {key!r} than its journal; the journal was believed"
        for key in sorted(made.keys() | said.keys())
        if made.get(key) != said.get(key)
    ]


def last_words_of(before: Session, state: StateRestored) -> list[str]:
    """How ``before`` ended, in lines; where it left no word, one is written for it."""
    path = before.path / LAST_WORDS
    if not path.is_file():
        words = {
            "session": before.path.name,
            "reason": "killed: it left no word",
            "exit_code": None,
            "state": None,
            "orders": [
                {
                    "client_id": one.client_id,
                    "intent_id": one.order.intent_id,
                    "instrument": one.order.instrument,
                    "side": one.order.side.value,
                    "type": one.order.type.value,
                    "price": None if one.price is None else money.plain(one.price),
                    "leaves": money.plain(one.leaves),
                }
                for one in state.orders
            ],
            "positions": {
                one.instrument.name: money.plain(sum((lot.size for lot in one.lots), ZERO))
                for one in state.ledger.positions
                if one.lots
            },
            "findings": [],
        }
        session.replace_file(path, orjson.dumps(words, option=orjson.OPT_INDENT_2) + b"\n")
    try:
        words = orjson.loads(path.read_bytes())
        orders, positions = words["orders"], words["positions"]
        lines = [f"last words of {words['session']}: {words['reason']}"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        return [f"last words of {before.path.name} are not readable: {error}"]
    lines += [f"  open: {one['side']} {one['leaves']} {one['instrument']} ({one['client_id']})" for one in orders]
    lines += [f"  held: {size} {name}" for name, size in positions.items()]
    lines += [f"  found: {one}" for one in words.get("findings", [])]
    return lines


def panicked(before: Session) -> bool:
    """Whether ``argus panic`` had to end it: then nobody has taken back what it left open."""
    try:
        words = orjson.loads((before.path / LAST_WORDS).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(words, dict) and words.get("panic") is True


def write_files(
    written: Session, summary: Mapping[str, Any], left: Sequence[Mapping[str, Any]], findings: Sequence[str]
) -> None:
    """The readable files, last words included."""
    export.export(written)
    portfolio = orjson.loads((written.path / PORTFOLIO).read_bytes())
    words = {
        "session": written.path.name,
        "reason": summary["reason"],
        "exit_code": summary["exit_code"],
        "state": summary["state"],
        "orders": list(left),
        "positions": {
            one["instrument"]: money.plain(sum((Decimal(lot["size"]) for lot in one["lots"]), ZERO))
            for one in portfolio["positions"]
            if one["lots"]
        },
        "findings": list(findings),
    }
    session.replace_file(written.path / LAST_WORDS, orjson.dumps(words, option=orjson.OPT_INDENT_2) + b"\n")


def figures(core: Core) -> dict[str, float | None]:
    try:
        return metrics.summary(core.equity, core.ledger, core.slippage, core.sampler.equity(), core.sampler.step_ns)
    except CannotValue:
        return {}
