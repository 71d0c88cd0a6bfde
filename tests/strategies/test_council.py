"""How votes become one decision: the arithmetic, and a council at its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import Bar, CouncilVoted, Decision, Intent, IntentLogged, OrderExpired, OrderRefused
from bus.values import Action, Ballot, Kind, Side
from portfolio.lots import RoundTrips
from strategies.council import Council, Rules
from strategies.feedback import Terms
from strategies.port import Strategy, View, Wishes
from strategies.votes import FLAT, LONG, RULES, SHORT, blend, of, support, verdict
from tests.strategies.world import BTC, MINUTE, Says, World, bar, filled, order, submitted, trade

ENTER, EXIT, SELL_SHORT, HOLD = Action.ENTER_LONG, Action.EXIT_LONG, Action.ENTER_SHORT, Action.HOLD

# --- the arithmetic --------------------------------------------------------------------------------------------

_stances = st.sampled_from([LONG, FLAT, SHORT, None])
_shares = st.floats(0.0, 1.0)
_ballots = st.lists(
    st.builds(Ballot, st.just("v"), st.none(), _stances, _shares, st.floats(0.0, 1_000.0)), min_size=1, max_size=9
)
_rules = st.sampled_from(sorted(RULES))


def absent(ballot: Ballot) -> Ballot:
    return Ballot(ballot.voter, None, None, 0.0, ballot.weight)


@pytest.mark.property
@given(_rules, _ballots, st.data())
def test_nobody_s_absence_makes_anything_easier(rule, ballots, data):
    gone = data.draw(st.sets(st.integers(0, len(ballots) - 1)))
    left = [absent(b) if i in gone else b for i, b in enumerate(ballots)]

    before, after = support(rule, ballots), support(rule, left)

    assert all(now <= then + 1e-12 for now, then in zip(after, before, strict=True))


@pytest.mark.property
@given(_rules, _ballots, st.randoms(use_true_random=False), st.sampled_from([LONG, FLAT, SHORT]), st.floats(0.05, 1.0))
def test_the_order_of_voters_does_not_matter(rule, ballots, random, standing, threshold):
    shuffled = list(ballots)
    random.shuffle(shuffled)

    one, other = support(rule, ballots), support(rule, shuffled)

    assert one == other
    assert verdict(one, standing, threshold, threshold / 2) == verdict(other, standing, threshold, threshold / 2)


@pytest.mark.property
@given(_rules, _ballots)
def test_support_is_a_share_of_everybody(rule, ballots):
    found = support(rule, ballots)

    assert all(0.0 <= share <= 1.0 + 1e-12 for share in found)
    assert sum(found) <= 1.0 + 1e-9


@pytest.mark.property
@given(_ballots, st.floats(0.05, 1.0), st.sampled_from([LONG, FLAT, SHORT]))
def test_nothing_is_entered_below_the_threshold(ballots, threshold, standing):
    found = support("weighted", ballots)

    taken = verdict(found, standing, threshold, threshold / 2)

    assert taken in (None, FLAT) or of(found, taken) >= threshold - 1e-9


@pytest.mark.parametrize(
    ("story", "found", "standing", "expected"),
    [
        ("at the threshold", (0.6, 0.0, 0.0), FLAT, LONG),
        ("just below it", (0.5999, 0.0, 0.0), FLAT, None),
        ("the larger of two that reach it", (0.6, 0.0, 0.7), FLAT, SHORT),
        ("a tie of two that reach it", (0.7, 0.0, 0.7), LONG, None),
        ("all agree to leave", (0.0, 0.8, 0.0), LONG, FLAT),
        ("what was entered keeps just enough support", (0.25, 0.5, 0.0), LONG, None),
        ("what was entered has lost its support", (0.2499, 0.5, 0.0), LONG, FLAT),
        ("nobody is left to vote", (0.0, 0.0, 0.0), SHORT, FLAT),
        ("nobody is left to vote and nothing is held", (0.0, 0.0, 0.0), FLAT, None),
    ],
)
def test_verdicts(story, found, standing, expected):
    assert verdict(found, standing, 0.6, 0.25) == expected


def test_terms_all_agree_on_are_taken_as_they_are():
    assert blend([(0.1, 0.3), (0.1, 0.7), (0.9, 0.0)]) == 0.1
    assert blend([(0.2, 1.0), (0.4, 3.0)]) == pytest.approx(0.35)
    assert blend([]) is None


# --- a council at its table ------------------------------------------------------------------------------------


def rules(**changes: Any) -> Rules:
    plain = {
        "rule": "weighted",
        "threshold": 0.6,
        "exit_threshold": 0.25,
        "stands_bars": 1_000,
        "horizon_bars": 1,
        "feedback": None,
    }
    return Rules(**{**plain, "weights": {}, "regimes": {}, **changes})


class Script(Says):
    """Answers the n-th bar with the n-th action; None holds its tongue."""

    def __init__(self, *answers: Action | Intent | None) -> None:
        left = list(answers)

        def answer(bar: Bar, _: View) -> Wishes:
            said = left.pop(0) if left else None
            return Intent(bar.instrument, said) if isinstance(said, Action) else said

        super().__init__(answer)


class Room(World):
    """Voters around a table; ``votes`` and ``logged`` are what was written down."""

    def __init__(self, *voters: Strategy, regime: Callable[[Bar], str] = lambda _: "", **changes: Any) -> None:
        super().__init__()
        self.votes: list[CouncilVoted] = []
        self.logged: list[IntentLogged] = []
        self.bus.subscribe(CouncilVoted, self.votes.append)
        self.bus.subscribe(IntentLogged, self.logged.append)
        for index, voter in enumerate(voters):
            self.seat(voter, f"v{index}")
        view = View("council", self.clock, self.market, self.ledger, self.exposure, self.equity, self.history, _never)
        seats = self.runner._seats
        self.council = Council(self.bus, self.clock, view, rules(**changes), seats, regime, self._trips, self)
        self.council.attach(self.bus)
        self.runner.divert = self.council.hear

    def _trips(self, instrument: str) -> RoundTrips | None:
        position = self.ledger.positions.get(instrument)
        return None if position is None else position.trips

    def minutes(self, count: int) -> Room:
        self.hear(*(bar(n) for n in range(count)))
        return self

    @property
    def actions(self) -> list[tuple[str, Action]]:
        return [(d.intent_id, d.intent.action) for d in self.decided if isinstance(d, Decision)]


def _never(_s: str, _w: int, _n: str) -> None: ...


def test_three_of_five_on_one_bar_make_one_decision_of_the_council():
    room = Room(*(Script(ENTER) for _ in range(3)), Script(), Script(HOLD)).minutes(1)

    (decision,) = room.decided
    assert (decision.intent_id, decision.strategy, decision.intent.action) == ("council-1", "council", ENTER)
    assert decision.intent.reason == "3 of 5: v0, v1, v2"
    (voted,) = room.votes
    assert (voted.support, voted.needed, voted.action) == ((0.6, 0.0, 0.0), 0.6, ENTER)
    assert [(b.voter, b.answer, b.stance) for b in voted.ballots][2:] == [
        ("v2", ENTER, LONG),
        ("v3", None, None),
        ("v4", None, None),
    ]


def test_two_of_five_do_not_and_the_vote_is_written_down_all_the_same():
    room = Room(*(Script(ENTER) for _ in range(2)), *(Script() for _ in range(3))).minutes(1)

    assert room.decided == []
    assert [(v.support[0], v.action) for v in room.votes] == [(0.4, HOLD)]
    assert ("council", "long 0.4 of 0.6") in room.reasons


def test_a_vote_stands_while_its_voter_holds():
    room = Room(Script(ENTER), Script(None, None, ENTER), threshold=1.0).minutes(3)

    assert room.actions == [("council-1", ENTER)]
    assert [v.bar_end_ns for v in room.votes] == [bar(0).end_ns, bar(2).end_ns]


@pytest.mark.parametrize(("stands_bars", "expected"), [(0, []), (1, []), (2, [("council-1", ENTER)])])
def test_a_vote_stands_no_longer_than_told(stands_bars, expected):
    room = Room(Script(ENTER), Script(None, None, ENTER), threshold=1.0, stands_bars=stands_bars).minutes(3)

    assert room.actions == expected


@pytest.mark.parametrize(("horizon_s", "expected"), [(119, []), (120, [("council-1", ENTER)])])
def test_a_vote_stands_no_longer_than_its_own_horizon(horizon_s, expected):
    brief = Intent(BTC.name, ENTER, horizon_s=horizon_s)

    assert Room(Script(brief), Script(None, None, ENTER), threshold=1.0).minutes(3).actions == expected


def test_a_voter_that_fails_abstains_from_that_bar_on():
    class Fails(Says):
        def on_bar(self, bar: Bar, view: View) -> Wishes:
            self.heard.append(bar)
            if len(self.heard) == 2:
                raise ZeroDivisionError
            return Intent(bar.instrument, ENTER)

    room = Room(Fails(), Script(None, ENTER), threshold=1.0).minutes(3)

    assert room.actions == []
    assert [(v.ballots[0].stance, v.ballots[0].weight) for v in room.votes] == [(LONG, 1.0), (None, 1.0)]


def test_a_voter_that_was_never_seated_counts_as_absent():
    room = Room(Script(ENTER), weights={"missing": 1.0}).minutes(1)

    assert room.actions == []
    assert room.votes[0].support == (0.5, 0.0, 0.0)


def test_what_was_entered_is_left_when_its_supporters_are_gone():
    room = Room(Script(ENTER, EXIT), Script(ENTER, None, EXIT), Script(ENTER, None, None, EXIT)).minutes(4)

    assert room.actions == [("council-1", ENTER), ("council-2", EXIT)]
    assert [v.action for v in room.votes] == [ENTER, HOLD, EXIT, HOLD]


def test_a_voter_hears_only_its_own_instruments_and_has_no_seat_at_other_tables():
    room = Room()
    room.seat(Script(ENTER), "one")
    room.seat(Script(), "elsewhere", ["v:ETH/USDT"])
    view = View("council", room.clock, room.market, room.ledger, room.exposure, room.equity, room.history, _never)
    council = Council(
        room.bus, room.clock, view, rules(threshold=1.0), room.runner._seats, lambda _: "", room._trips, None
    )
    council.attach(room.bus)
    room.runner.divert = council.hear

    room.minutes(1)

    assert room.actions == [("council-1", ENTER)]


def test_a_regime_weighs_voices():
    room = Room(
        Script(ENTER),
        Script(None, ENTER),
        threshold=0.75,
        regime=lambda bar: "PANIC" if bar.end_ns == bar_end(0) else "CALM",
        regimes={"PANIC": {"v0": 3.0}, "CALM": {}},
    )

    room.minutes(1)

    assert room.actions == [("council-1", ENTER)]
    assert (room.votes[0].regime, room.votes[0].support[0]) == ("PANIC", 0.75)


def bar_end(n: int) -> int:
    return bar(n).end_ns


def test_confidence_weighs_where_the_rule_says_so():
    sure, unsure = Intent(BTC.name, ENTER, confidence=1.0), Intent(BTC.name, ENTER, confidence=0.1)

    weighted = Room(Script(sure), Script(unsure)).minutes(1)
    headcount = Room(Script(sure), Script(unsure), rule="headcount").minutes(1)

    assert weighted.votes[0].support[0] == pytest.approx(0.55)
    assert weighted.actions == []
    assert (headcount.votes[0].support[0], headcount.actions) == (1.0, [("council-1", ENTER)])


def test_exposure_is_the_mean_of_those_behind_the_decision():
    votes = [Intent(BTC.name, ENTER, exposure=0.2, confidence=0.5), Intent(BTC.name, ENTER, exposure=0.5)]

    (decision,) = Room(*(Script(vote) for vote in votes)).minutes(1).decided

    assert decision.intent.exposure == pytest.approx(0.4)
    assert decision.intent.size is None


def test_an_exit_that_leaves_an_exposure_is_less_of_the_same_stance():
    less = Intent(BTC.name, Action.EXIT_LONG, size=3, exposure=0.1)
    room = Room(Script(Intent(BTC.name, Action.ENTER_LONG, exposure=0.4), less))

    room.hear(bar(0), bar(1))

    assert [vote.ballots[0].stance for vote in room.votes] == [LONG, LONG]
    assert [(d.intent.action, d.intent.exposure, d.intent.size) for d in room.decided] == [
        (Action.ENTER_LONG, 0.4, None),
        (Action.ENTER_LONG, 0.1, None),
    ]


def test_a_size_all_agree_on_is_asked_for_to_the_digit():
    votes = [Intent(BTC.name, ENTER, size=D("0.1"), confidence=c) for c in (0.9, 0.7)]

    (decision,) = Room(*(Script(vote) for vote in votes)).minutes(1).decided

    assert decision.intent.size == 0.1


def test_what_stands_is_not_asked_for_again_and_again():
    room = Room(Script(*[ENTER] * 5))
    room.hear(trade(), bar(0))
    room.open(order("council-1", "council"))

    room.hear(bar(1), filled("council-1", "council"), bar(2), bar(3))

    assert room.actions == [("council-1", ENTER)]


def test_what_never_came_about_is_asked_for_again_when_a_voter_says_so():
    room = Room(Script(ENTER, None, ENTER)).minutes(3)

    assert room.actions == [("council-1", ENTER), ("council-2", ENTER)]


def test_new_terms_are_asked_for():
    votes = [Intent(BTC.name, ENTER, exposure=exposure) for exposure in (0.1, 0.1, 0.3)]
    room = Room(Script(*votes))
    room.hear(bar(0))
    room.open(order("council-1", "council"))

    room.hear(bar(1), bar(2))

    assert [d.intent.exposure for d in room.decided] == [0.1, 0.3]


def test_short_of_spot_means_out_of_it():
    assert BTC.kind is Kind.SPOT

    room = Room(Script(ENTER, SELL_SHORT)).minutes(2)

    assert room.actions == [("council-1", ENTER), ("council-2", EXIT)]


def test_an_intent_that_answers_no_bar_of_its_instrument_is_written_down_and_is_no_vote():
    class OnTrades(Strategy):
        def on_trade(self, trade: Any, view: View) -> Wishes:
            return Intent(trade.instrument, ENTER)

    room = Room(OnTrades(), Script(Intent("v:ETH/USDT", ENTER)))

    room.hear(trade(), bar(0))

    assert room.actions == []
    assert [(logged.strategy, logged.why) for logged in room.logged] == [
        ("v0", "a vote answers a closed bar"),
        ("v1", "a vote is on the instrument of its bar"),
    ]


def test_bars_of_other_lengths_are_other_tables():
    class Every(Says):
        def on_bar(self, bar: Bar, view: View) -> Wishes:
            return Intent(bar.instrument, ENTER) if bar.interval_ns == self.interval else None

        interval = MINUTE

    class Hourly(Every):
        interval = 60 * MINUTE

    hour = bar(0)
    hour = Bar(hour.instrument, 60 * MINUTE, *[getattr(hour, name) for name in hour.__struct_fields__[2:]])

    room = Room(Every(), Hourly(), threshold=1.0)
    room.hear(bar(0), hour)

    assert room.actions == []
    assert [v.support[0] for v in room.votes] == [0.5, 0.5]


def test_a_forming_bar_is_nobody_s_business():
    room = Room(Script(ENTER))
    room.hear(bar(0, closed=False))

    assert (room.votes, room.reasons, room.decided) == ([], [], [])


# --- an exit stands until it has come about --------------------------------------------------------------------


def entered(*scripts: Script) -> Room:
    """Long of two, by everybody's vote on the first bar."""
    room = Room(*(scripts or [Script(ENTER), Script(ENTER), Script(ENTER)]), stands_bars=2)
    room.hear(trade(), bar(0))
    room.open(order("council-1", "council"))
    room.hear(filled("council-1", "council"))
    return room


def came_to_nothing(room: Room, how: str) -> None:
    if how in ("order_rate", "translator"):
        room.hear(OrderRefused(room.clock.now, "council-2", "council", BTC.name, how, "6 > 5", []))
        return
    room.hear(submitted("council-2"))
    if how == "after half of it":
        room.hear(msgspec.structs.replace(filled("council-2", "council", "1", "1"), side=Side.SELL))
    room.hear(OrderExpired(room.clock.now, "c-council-2", how))


@pytest.mark.parametrize(("how", "again"), [("order_rate", 1), ("IOC", 1), ("after half of it", 1), ("translator", 0)])
@pytest.mark.parametrize("restarted", [False, True])
def test_an_exit_that_came_to_nothing_is_asked_for_again_while_it_is_wanted(how: str, again: int, restarted: bool):
    room = entered()
    room.hear(*(bar(n) for n in range(1, 5)))
    assert [action for _, action in room.actions] == [ENTER, EXIT], "its support has run out"
    if restarted:
        room.council.restore(msgspec.json.decode(msgspec.json.encode(room.council.state())))

    came_to_nothing(room, how)
    room.hear(*(bar(n) for n in range(5, 12)))

    assert [action for _, action in room.actions] == [ENTER, EXIT] + [EXIT] * again


def test_an_exit_is_not_asked_for_again_where_its_reason_is_gone():
    room = entered(Script(ENTER, None, None, None, None, ENTER))
    room.hear(*(bar(n) for n in range(1, 5)))

    came_to_nothing(room, "order_rate")
    room.hear(bar(5), bar(6))

    assert [action for _, action in room.actions] == [ENTER, EXIT]


@pytest.mark.parametrize(("word", "asked"), [(EXIT, []), (ENTER, [ENTER])])
def test_less_than_a_lot_is_no_position(word: Action, asked: list[Action]):
    """There is nothing to leave, and what was wanted is not there."""
    first = EXIT if word is EXIT else None
    room = Room(Script(ENTER, first, word), stands_bars=9)
    room.hear(trade(), bar(0))
    room.open(order("council-1", "council"))
    room.hear(filled("council-1", "council", "0.0000000001"))
    room.hear(bar(1))
    before = len(room.actions)

    room.hear(bar(2))

    assert [action for _, action in room.actions[before:]] == asked


@pytest.mark.parametrize("rule", ["hedge", "realised", ""])
def test_a_council_goes_on_from_its_state_as_if_it_had_never_stopped(rule):
    script = [ENTER, None, EXIT, None, ENTER, SELL_SHORT, None, ENTER]
    terms = Terms(rule=rule, rate=0.5, floor=0.5, ceiling=2.0, every_bars=1, min_votes=1) if rule else None
    changes: dict[str, Any] = {"threshold": 0.5, "stands_bars": 3, "feedback": terms}
    whole = Room(Script(*script), Script(None, ENTER), **changes).minutes(8)
    first = Room(Script(*script[:4]), Script(None, ENTER), **changes).minutes(4)
    second = Room(Script(*script[4:]), Script(), **changes)

    second.council.restore(msgspec.json.decode(msgspec.json.encode(first.council.state())))
    second.hear(*(bar(n) for n in range(4, 8)))

    assert first.actions + second.actions == whole.actions
    assert [v.support for v in first.votes + second.votes] == [v.support for v in whole.votes]


# --- any council -----------------------------------------------------------------------------------------------

_answers = st.sampled_from([ENTER, EXIT, SELL_SHORT, Action.EXIT_SHORT, Action.FLAT, Action.BUY, Action.SELL, None])


@pytest.mark.property
@given(st.lists(st.lists(_answers, max_size=8), min_size=1, max_size=4), st.floats(0.3, 1.0))
def test_a_decision_is_carried_by_its_votes(scripts: Sequence[Sequence[Any]], threshold: float):
    room = Room(*(Script(*script) for script in scripts), threshold=threshold).minutes(8)

    for voted in room.votes:
        long, _, short = voted.support
        if voted.action is ENTER:
            assert long >= threshold - 1e-9
        if voted.action is SELL_SHORT:
            assert short >= threshold - 1e-9
    ids = [id for id, _ in room.actions]
    assert ids == [f"council-{n + 1}" for n in range(len(ids))]
    assert sum(v.action is not HOLD for v in room.votes) == len(ids)


@pytest.mark.property
@given(st.lists(_answers, max_size=10))
def test_a_council_of_one_asks_for_the_positions_its_voter_would_take(script):
    """Alone, each answer is a decision; the council asks once for each position they lead to."""
    room = Room(Script(*script)).minutes(10)

    wanted, at = [], FLAT
    for answer in script:
        now = {ENTER: LONG, Action.BUY: LONG}.get(answer, at if answer is None else FLAT)
        if answer is Action.EXIT_SHORT:
            now = at
        if now != at:
            wanted.append(ENTER if now == LONG else EXIT)
        elif now == LONG and answer is not None:
            wanted.append(ENTER)  # what it asked for never came about: nobody fills orders here
        at = now
    assert [action for _, action in room.actions] == wanted
