"""Where one change does not do it: what else is tried, and that every rule of the gate has its setting."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import OrderRefused
from config.load import changed
from config.schema import Trading
from daemon.proof import why
from daemon.proof.again import Again, reopen
from daemon.proof.bars import bars_of
from daemon.proof.changes import parse
from daemon.proof.levers import LEVERS, WHOLE, Lever, Switch, relaxed, tightened
from daemon.proof.nearest import Flip
from daemon.session import Session
from risk.extra import RULES
from risk.gate import _check
from risk.oversight import BAND
from risk.rules import GUARDS
from tests.acceptance.command import argus, journal, replay
from tests.daemon.test_why import CROSS, NAME, bars

pytestmark = pytest.mark.forks

PERP = "binanceusdm:BTC/USDT:USDT"


def session(folder: Path, *words: object, name: str = NAME, count: int = 60, strategy: Any = CROSS) -> Path:
    replay(
        bars(folder / "bars_1h.csv", count), "--instrument", name, "--interval", "1h", *strategy, *words,
        "--out", folder / "session",
    )  # fmt: skip
    return folder / "session"


def limits(**values: object) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"limits.{name}={value}")]


def nearest(path: Path, at_ns: int | None = None) -> tuple[Again, Flip]:
    """The nearest change for a bar (the last), which was tried again by itself."""
    again = reopen(Session.open(path))
    ((series, ends),) = bars_of(again).items()
    key = (*series, at_ns or ends[-1])
    found = why.explain(again, [key])[key]
    assert found.flips, key
    flip = found.flips[0]
    alone = why.run_with(again, key, parse(flip.changes.words(), again.trading))
    assert alone.outcome == flip.outcome != found.facts.outcome
    return again, flip


def settings_of(flip: Flip) -> list[str]:
    return [step.setting for step in flip.steps]


def broken(refusal: dict[str, Any]) -> set[str]:
    return {check["rule"] for check in refusal["checks"] if not check["passed"]}


# --- every rule ------------------------------------------------------------------------------------------------


def test_every_rule_of_the_gate_has_something_to_change():
    assert set(LEVERS) == {*GUARDS, *RULES, BAND}


MONEY = st.decimals(Decimal("0.01"), Decimal(1_000_000), places=4)
FRACTIONS = st.floats(0.001, 0.9)
NUMBERED = sorted(name for name, lever in LEVERS.items() if isinstance(lever, Lever))


@pytest.mark.property
@given(rule=st.sampled_from(NUMBERED), data=st.data())
def test_a_setting_moved_to_what_was_measured_turns_the_rules_answer(rule, data):
    lever = LEVERS[rule]
    assert isinstance(lever, Lever)
    numbers: Any = (
        st.integers(2, 9_999) if lever.exact and lever.step == WHOLE
        else st.floats(2.0, 9_999.0) if lever.step == WHOLE
        else MONEY if lever.exact
        else FRACTIONS
    )  # fmt: skip
    measured = data.draw(numbers)
    limit = data.draw(st.integers(1, 10_000) if lever.step == WHOLE else numbers)
    key = {"instrument": NAME, "strategy": "momentum"}.get(lever.by)
    shown = f"{Decimal(str(limit)):f}"
    trading = changed(Trading(), [f'{lever.path}={{"{key}" = {shown}}}' if key else f"{lever.path}={shown}"])
    check = _check(rule, limit, measured) if lever.floor else _check(rule, measured, limit)
    refusal = OrderRefused(0, "momentum-1", "momentum", NAME, rule, "", [check])

    def allows(step: Any) -> bool:
        after = changed(trading, [step.word])
        value: Any = after
        for name in lever.path.split("."):
            value = getattr(value, name)
        now = value[key] if key else value
        return bool(now is None or (now <= measured if lever.floor else measured <= now))

    if not check.passed:
        step = relaxed(check, refusal, trading)
        assert step is not None
        assert allows(step)
        assert step.was == shown or Decimal(step.was) == Decimal(shown)
    elif (step := tightened(check, NAME, "momentum", trading)) is not None:
        assert not allows(step)


ALL = {
    "max_notional": 900, "max_position": 950, "symbol_position_limits": f'{{"{PERP}" = 0.01}}', "min_notional": 500_000,
    "max_spread_bps": 5, "max_impact_bps": 5, "min_atr": 0.4, "min_equity": 200_000, "budgets": "{ema_cross = 10}",
    "max_gross": 0.001, "max_net": 0.001, "max_leverage": 0.001, "min_liquidation_distance": 1, "max_var": 0.00001,
    "max_es": 0.00001, "max_money_at_risk": 10,
}  # fmt: skip


def test_what_all_rules_refuse_at_once_passes_with_all_of_their_settings(tmp_path):
    asked = ("confirmation.model=external", "confirmation.conf_min=0.6", "sizing.notional=200000")
    path = session(tmp_path, *limits(**ALL), *(w for one in asked for w in ("--set", one)), name=PERP, count=100)
    (refusal,) = [r for r in journal(path, "OrderRefused") if r["rule"] == "max_notional"][-1:]

    _, flip = nearest(path, refusal["ns"])

    assert len(broken(refusal)) == len(ALL) + 1, broken(refusal)
    assert set(settings_of(flip)) == {_setting(rule) for rule in broken(refusal)}
    assert {step.setting: step.to for step in flip.steps}["limits.max_spread_bps"] == "none"
    assert all(step.unit for step in flip.steps)


def test_what_passed_is_refused_by_any_of_the_limits_a_step_tighter(tmp_path):
    wide = {
        "max_var": 0.5, "max_es": 0.5, "max_money_at_risk": 50_000, "max_gross": 3, "max_net": 3, "max_leverage": 3,
        "min_equity": 1_000, "min_atr": 0.0001, "max_atr": 0.5, "min_notional": 10, "budgets": "{ema_cross = 50000}",
        "symbol_position_limits": f'{{"{PERP}" = 5}}',
    }  # fmt: skip
    path = session(tmp_path, *limits(**wide), name=PERP, count=100)
    ns = [r["ns"] for r in journal(path, "OrderApproved") if r["order"]["side"] == "buy"][-1]

    again = reopen(Session.open(path))
    ((series, _),) = bars_of(again).items()
    found = why.explain(again, [(*series, ns)])[(*series, ns)]

    alone = {flip.steps[0].setting for flip in found.flips if len(flip.steps) == 1}
    assert alone >= {f"limits.{name}" for name in wide} | {"limits.max_notional", "limits.max_position", "close"}
    assert all(flip.outcome == [] for flip in found.flips)


def _setting(rule: str) -> str:
    lever = LEVERS[rule]
    return lever.word.partition("=")[0] if isinstance(lever, Switch) else lever.path


# --- more than one change --------------------------------------------------------------------------------------


def test_too_early_for_any_price_is_told_in_bars_to_warm_up_on(tmp_path):
    path = session(tmp_path, count=12)
    first = journal(path, "SessionOpened")[0]["ns"]

    _, flip = nearest(path, first)

    assert settings_of(flip) == ["warmup", "close"]
    assert flip.steps[0].to == "7"
    assert flip.outcome == ["ema_cross buy"]


def test_an_entry_that_was_refused_and_is_still_believed_in_is_led_back_to(tmp_path):
    path = session(tmp_path, *limits(max_notional="999.9"))
    refused = [r["ns"] for r in journal(path, "OrderRefused") if r["rule"] == "max_notional"]

    again, flip = nearest(path, refused[0] + 3_600 * 10**9)

    assert settings_of(flip) == ["limits.max_notional", "since", "close"]
    assert flip.changes.since_ns == refused[0]
    assert flip.outcome == ["ema_cross sell"]
    assert again.trading.limits.max_notional == Decimal("999.9")


STUBBORN = """
from bus.events import Intent
from bus.values import Action
from strategies.port import Strategy


class Stubborn(Strategy):
    def __init__(self, least: float = 12.0):
        self.least = least

    def on_bar(self, bar, view):
        if bar.volume >= self.least:
            return Intent(bar.instrument, Action.ENTER_LONG, size=0.01)
"""


def test_what_no_price_moves_is_moved_by_a_parameter(tmp_path):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    strategy = ("--strategy", f"{tmp_path / 'stubborn.py'}:Stubborn")
    path = session(tmp_path, strategy=strategy, count=12)

    _, flip = nearest(path)

    assert settings_of(flip) == ["strategies.Stubborn.least"]
    assert 4.9 < float(flip.steps[0].to) <= 5.0  # the volume of every bar is 5
    assert flip.outcome == ["Stubborn buy"]


def test_a_halted_session_needs_its_operator_and_the_limit_that_halted_it(tmp_path):
    path = session(tmp_path, *limits(max_drawdown_bps=1), "--set", "sizing.notional=9000", count=120)
    refused = [r for r in journal(path, "OrderRefused") if r["rule"] == "session_drawdown"]
    still = [r["ns"] for r in refused if broken(r) >= {"session_drawdown"}]

    _, flip = nearest(path, still[-1])

    assert {"state", "limits.max_drawdown_bps"} <= set(settings_of(flip))


def test_a_rule_that_is_asked_for_can_be_lifted_by_name(tmp_path):
    path = session(tmp_path, *limits(max_spread_bps=5), count=60)
    ns = journal(path, "OrderRefused")[-1]["ns"]

    said = argus("why", NAME, ns, "--session", path, "--what-if", "limits.max_spread_bps=none", "--json")

    assert (said.summary["flipped"], said.summary["was"]) == (True, "HOLD")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("warmup=some", "takes a number of bars"),
        ("market=-3", "market takes a price"),
        ("state=halted", "takes armed"),
        ("strategies.rsi.length=3", "the session's strategies are ema_cross"),
        ("since=now", "TIME is"),
    ],
)
def test_what_cannot_be_asked_is_said_so(tmp_path, text, expected):
    with pytest.raises(ValueError, match=expected):
        parse([text], Trading.model_validate({"strategies": [{"use": "ema_cross"}]}))
