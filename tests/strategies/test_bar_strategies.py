"""The strategies that judge once a bar: one judgement in both forms, blind to the future, and what each believes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from bus.clock import HOUR
from bus.events import Bar, Decision, Intent
from bus.values import Action
from research.harness.market import hours
from strategies import load
from strategies.barwise import BarStrategy, bars_of
from strategies.history import to_frame
from strategies.port import BadParameter
from strategies.regime import Gauge, RegimeEngine, Thresholds
from tests.strategies.world import BTC, World

BAR_STRATEGIES = (
    "regime_trend_v1",
    "core_exposure_v1",
    "trend_probe_v1",
    "vol_probe_v1",
    "rsi",
    "macd",
    "bollinger",
    "keltner",
    "multivariate",
    "momentum",
    "mean_reversion",
    "perp_momentum",
)
T = Thresholds()
SHORTS: dict[str, dict[str, Any]] = {
    name: {"short": True} for name in ("rsi", "macd", "bollinger", "keltner", "multivariate", "momentum")
}
CASES: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in BAR_STRATEGIES] + list(SHORTS.items())


def made(name: str, params: dict[str, Any] | None = None) -> BarStrategy[Any]:
    strategy = load.load(name, params or {})
    assert isinstance(strategy, BarStrategy)
    return strategy


def judged(strategy: BarStrategy[Any], bars: Sequence[Bar]) -> list[Intent | None]:
    """Its intent at each bar, as though every wish came true at once."""
    gauge, track = Gauge(T), strategy.begin()
    return [strategy.step(track, bar, gauge.hear(bar)) for bar in bars]


def story(intent: Intent | None) -> tuple[str, float | None, str] | None:
    return None if intent is None else (intent.action.value, intent.exposure, intent.reason)


MARKET = hours(900)


@pytest.mark.parametrize(("name", "params"), CASES)
def test_both_forms_say_the_same_at_every_bar(name: str, params: dict[str, Any]) -> None:
    frame = to_frame(list(MARKET))
    frame.attrs["regime"] = msgspec.structs.asdict(T)
    function = importlib.import_module(f"strategies.{name}").generate_intent
    strategy = made(name, params)
    gauge, track, level = Gauge(T), strategy.begin(), 0.0
    spoken = 0
    for n, bar in enumerate(MARKET):
        before = level
        intent = strategy.step(track, bar, gauge.hear(bar))
        level = track.level
        if intent is None and n % 41:
            continue  # of the bars on which nothing is said, one in 41 is asked about

        answer = function(frame[: n + 1], {"position": before, "params": params}, closed_only=False)

        spoken += intent is not None
        assert answer["action"] == (intent.action.value if intent is not None else "HOLD")
        assert answer["reason"] == track.reason
        if intent is not None:
            assert answer["desired_exposure_frac"] == intent.exposure
            assert answer["confidence"] == intent.confidence
    assert spoken >= 2, "a market of every mood moves every strategy"


@pytest.mark.parametrize("name", BAR_STRATEGIES)
def test_what_is_said_at_a_bar_does_not_depend_on_the_bars_after_it(name: str) -> None:
    whole = [story(intent) for intent in judged(made(name), MARKET)]
    for cut in (60, 333, 666):
        spoilt = [
            *MARKET[:cut],
            *(msgspec.structs.replace(b, close=b.close * 3, high=b.high * 3) for b in MARKET[cut:]),
        ]

        assert [story(intent) for intent in judged(made(name), MARKET[:cut])] == whole[:cut]
        assert [story(intent) for intent in judged(made(name), spoilt)][:cut] == whole[:cut]


@pytest.mark.parametrize("name", BAR_STRATEGIES)
def test_one_that_was_carried_over_a_restart_goes_on_as_if_nothing_had_been(name: str) -> None:
    def seated(strategy: BarStrategy[Any], engine_from: Sequence[Bar]) -> World:
        world = World(history=2)
        engine = RegimeEngine(world.bus, T)
        engine.attach(world.bus)
        for bar in engine_from:
            engine.on_bar(bar)
        world.seat(strategy, regimes=engine)
        return world

    bars = [msgspec.structs.replace(bar, instrument=BTC.name) for bar in MARKET[:700]]
    stays = made(name)
    one = seated(stays, ())
    one.hear(*bars[:400])
    said = len(one.decided)
    carried = made(name)
    other = seated(carried, bars[:400])
    carried.restore(json.loads(json.dumps(stays.state(), allow_nan=False)))

    one.hear(*bars[400:])
    other.hear(*bars[400:])

    assert not one.failures
    assert [story(d.intent) for d in one.decided[said:]] == [story(d.intent) for d in other.decided]


@pytest.mark.parametrize("name", BAR_STRATEGIES)
def test_its_page_says_why_whence_at_what_risk_and_every_parameter_and_variable(name: str) -> None:
    module = importlib.import_module(f"strategies.{name}")
    cls = load.find(name)
    page = module.__doc__ or ""

    assert "Rationale:" in page
    assert any(year in page for year in map(str, range(1950, 2030))), "a source"
    assert "Risk:" in page
    assert f"SG_{name.upper()}_" in page
    for parameter in load.parameters(name):
        assert f"``{parameter}``" in (cls.__doc__ or ""), parameter
        assert f"_{parameter.upper()}" in page, parameter


# --- what level becomes what action ----------------------------------------------------------------------------


class Scripted(BarStrategy[Any]):
    """Wants the levels it was given, one a bar."""

    def __init__(self, levels: Sequence[float | None], **terms: Any) -> None:
        super().__init__(terms.pop("exposure", 0.5), **terms)
        self._levels = list(levels)

    def begin(self) -> Any:
        from strategies.barwise import Track

        return Track()

    def judge(self, track: Any, bar: Bar, state: Any) -> Any:
        level = self._levels.pop(0)
        return None if level is None else (level, 1.0, "as told")


@pytest.mark.parametrize(
    ("story_", "levels", "actions"),
    [
        ("in and out", [1, 1, None, 0, 0], ["ENTER_LONG 0.5", "EXIT_LONG 0.0"]),
        ("short and out", [-1, 0], ["ENTER_SHORT 0.5", "EXIT_SHORT 0.0"]),
        ("from one side to the other", [1, -1, 1], ["ENTER_LONG 0.5", "ENTER_SHORT 0.5", "ENTER_LONG 0.5"]),
        ("more of it", [0.2, 0.6], ["ENTER_LONG 0.1", "ENTER_LONG 0.3"]),
        ("nothing to leave", [0, 0], []),
    ],
)
def test_a_change_of_mind_is_an_action(story_: str, levels: list[float], actions: list[str]) -> None:
    said = judged(Scripted(levels, short=True), MARKET[: len(levels)])

    assert [f"{i.action.value} {i.exposure}" for i in said if i is not None] == actions, story_


def test_what_is_on_the_wrong_side_is_left_first_so_that_no_limit_on_the_entry_can_keep_it() -> None:
    world = World()
    world.seat(Scripted([1.0, -1.0], short=True))

    world.hear(*(msgspec.structs.replace(bar, instrument=BTC.name) for bar in MARKET[:2]))

    assert [(d.intent.action.value, d.intent.exposure) for d in world.decided] == [
        ("ENTER_LONG", 0.5),
        ("EXIT_LONG", 0.0),
        ("ENTER_SHORT", 0.5),
    ]


def test_a_level_below_zero_is_flat_where_shorts_are_not_meant() -> None:
    said = judged(Scripted([-1, 1, -1]), MARKET[:3])

    assert [i and i.action.value for i in said] == [None, "ENTER_LONG", "EXIT_LONG"]


def test_less_of_it_gives_up_the_part_of_what_is_held_that_the_level_lost() -> None:
    world = World()
    world.seat(Scripted([1.0, 0.25]))
    world.ledger.inventory = lambda name: 8  # type: ignore[assignment, method-assign, return-value]

    world.hear(*(msgspec.structs.replace(bar, instrument=BTC.name) for bar in MARKET[:2]))

    less = world.decided[1].intent
    assert (less.action, less.size, less.exposure) == (Action.EXIT_LONG, 6.0, 0.125)


def test_less_of_nothing_is_no_intent() -> None:
    world = World()
    world.seat(Scripted([1.0, 0.25, 0.0]))

    world.hear(*(msgspec.structs.replace(bar, instrument=BTC.name) for bar in MARKET[:3]))

    assert [d.intent.action.value for d in world.decided] == ["ENTER_LONG", "EXIT_LONG"]


def test_after_its_horizon_a_strategy_no_longer_thinks_it_holds() -> None:
    said = judged(Scripted([1, None, 1, 1, 0], horizon_hours=2), MARKET[:5])

    assert [i and (i.action.value, i.horizon_s) for i in said] == [
        ("ENTER_LONG", 7_200), None, None, ("ENTER_LONG", 7_200), ("EXIT_LONG", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "position", "action"),
    [
        ("long", None, "ENTER_LONG"),
        ("long", 0.0, "ENTER_LONG"),
        ("long", 2.0, "HOLD"),
        ("flat", 2.0, "EXIT_LONG"),
        ("flat", 0.0, "HOLD"),
        ("flat", -1.0, "EXIT_SHORT"),
    ],
)
def test_the_function_leads_the_account_to_where_the_strategy_stands(
    level: str, position: float | None, action: str
) -> None:
    from strategies.momentum import generate_intent

    rising = level == "long"
    closes = [100.0 + (n if rising else -n / 2) for n in range(80)]
    frame = to_frame(list(MARKET[:80]))
    frame["close"] = closes
    frame["high"] = [c + 1 for c in closes]
    frame["low"] = [c - 1 for c in closes]

    answer = generate_intent(frame, {"position": position, "params": {}})

    assert answer["action"] == action
    assert answer["meta"]["asof_ts"] == frame.index[-2].isoformat()
    assert answer["meta"]["dropped_last_row"] is True


def test_called_by_hand_a_function_asks_the_environment_and_in_the_loop_it_does_not(monkeypatch: Any) -> None:
    from strategies.rsi import generate_intent

    frame = to_frame(list(MARKET[:60]))
    monkeypatch.setenv("SG_RSI_LENGTH", "none at all")

    with pytest.raises(BadParameter, match="rsi: length must be int, not 'none at all'"):
        generate_intent(frame, None)
    assert generate_intent(frame, {"params": {}})["action"] in ("HOLD", "ENTER_LONG")


@pytest.mark.parametrize("name", BAR_STRATEGIES)
def test_before_there_is_history_the_function_holds_and_says_what_it_knows(name: str) -> None:
    answer = importlib.import_module(f"strategies.{name}").generate_intent(to_frame(list(MARKET[:10])), None)

    assert answer["action"] == "HOLD"
    json.dumps(answer, allow_nan=False)


def test_rows_of_a_frame_are_closed_bars_and_rows_without_a_price_are_none() -> None:
    frame = to_frame(list(MARKET[:5]))
    frame.iloc[2, 3] = float("nan")

    bars = list(bars_of(frame))

    assert [b.start_ns for b in bars] == [MARKET[n].start_ns for n in (0, 1, 3, 4)]
    assert {b.interval_ns for b in bars} == {HOUR}
    assert bars[0].close == MARKET[0].close


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("rsi", {"enter": 40.0}),
        ("rsi", {"length": 1}),
        ("macd", {"fast": 30}),
        ("bollinger", {"stop": 1.0}),
        ("keltner", {"ranges": 0.0}),
        ("multivariate", {"rsi_weight": 0.0, "macd_weight": 0.0, "ema_weight": 0.0}),
        ("multivariate", {"leave": 0.9}),
        ("momentum", {"slow": 10}),
        ("mean_reversion", {"leave": 3.0}),
        ("regime_trend_v1", {"adx_min": 100.0}),
        ("core_exposure_v1", {"exposure": 0.0}),
        ("core_exposure_v1", {"vol_target": 0.0}),
        ("trend_probe_v1", {"confirm": 0}),
        ("vol_probe_v1", {"length": 1}),
        ("perp_momentum", {"leverage": 200.0}),
        ("perp_momentum", {"maintenance": 0.5}),
        ("rsi", {"horizon_hours": -1}),
        ("pairs_trading", {"threshold": 0.1}),
        ("pairs_trading", {"first": "v:A/B"}),
        ("funding_carry", {"leave": 1.0}),
    ],
)
def test_parameters_that_make_no_sense_are_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(BadParameter):
        load.load(name, params)


def test_leverage_is_cut_until_liquidation_is_far_enough_away() -> None:
    said = [i for i in judged(made("perp_momentum", {"distance_atrs": 30.0}), hours(2_000)) if i is not None]
    entries = [i for i in said if i.action in (Action.ENTER_LONG, Action.ENTER_SHORT)]

    assert entries
    for intent in entries:
        meta = intent.meta or {}
        leverage = (intent.exposure or 0.0) / 0.02
        assert 1.0 <= leverage <= 3.0
        assert meta["liquidation_distance"] == pytest.approx(1.0 / leverage - 0.005)
    assert min(i.exposure or 1.0 for i in entries) < 0.06, "in a wild market it takes less"
    assert all(i.reduce_only for i in said if i.action in (Action.EXIT_LONG, Action.EXIT_SHORT))


def test_a_decision_says_what_it_came_from() -> None:
    world = World(history=100)
    world.seat(made("rsi"))
    bars = [msgspec.structs.replace(bar, instrument=BTC.name) for bar in MARKET[:400]]

    world.hear(*bars)

    decisions = [d for d in world.decided if isinstance(d, Decision)]
    origins = [d.intent.provenance for d in decisions]
    assert len(origins) > 2
    assert all(o is not None and len(o.config) == len(o.code) == len(o.window) == 32 for o in origins)
    assert len({o.window for o in origins if o}) == len(origins), "each rests on other bars"
    assert len({(o.config, o.code) for o in origins if o}) == 1
    other = made("rsi", {"length": 15}).provenance
    assert other is not None
    assert other.config != origins[0].config  # type: ignore[union-attr]
    assert other.code == origins[0].code  # type: ignore[union-attr]
