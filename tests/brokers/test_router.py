"""Approved orders out, reports back: each held to the table, and forgotten when it is over."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.order_state import ImpossibleMove
from brokers.outbox import Outbox
from brokers.router import Router
from bus.clock import Clock
from bus.events import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderTriggered,
    ReplaceApproved,
    ReplaceRejected,
)
from bus.state import SentState
from tests.brokers.fake import NAME, FakeBroker, approved, filled, strict_bus


class Post:
    """A router between a strict bus and one fake venue (and another, for what is not its business)."""

    def __init__(self) -> None:
        self.bus = strict_bus()
        self.venue, self.other = FakeBroker(), FakeBroker()
        self.router = Router(self.bus, Clock(5), Outbox(), {"v": self.venue, "w": self.other})
        self.router.attach(self.bus)
        self.submitted: list[OrderSubmitted] = []
        self.bus.subscribe(OrderSubmitted, self.submitted.append)

    def send(self, intent_id: str = "s-1", strategy: str = "s", instrument: str = NAME) -> str:
        """Approve an order; returns the client id it went out under."""
        self.bus.publish(approved(intent_id, strategy, instrument))
        return self.submitted[-1].client_id

    def hear(self, *events: object) -> None:
        for event in events:
            self.bus.publish(event)

    @property
    def known(self) -> int:
        return len(self.router._sent) + len(self.router._by_intent)

    def state(self, client_id: str) -> str:
        return self.router._sent[client_id].state.value


def cancel(intent_id: str = "s-1") -> CancelRequested:
    return CancelRequested(1, intent_id, "s", "")


def replace(intent_id: str = "s-1") -> ReplaceApproved:
    return ReplaceApproved(1, intent_id, "s", D(99), D(3), "")


def test_an_approved_order_goes_to_its_own_venue_under_an_id_of_its_own() -> None:
    post = Post()

    first, second = post.send("s-1"), post.send("s-2", instrument="w:BTC/USD")

    assert [(s.ns, s.intent_id) for s in post.submitted] == [(5, "s-1"), (5, "s-2")]
    assert post.venue.asked == [("submit", first)]
    assert post.other.asked == [("submit", second)]
    assert post.venue.orders[first].intent_id == "s-1"
    assert post.router.orders == 2


def test_requests_follow_the_order_under_its_client_id() -> None:
    post = Post()
    client = post.send()
    post.hear(OrderAccepted(1, client, "1", 1))

    post.hear(replace(), OrderReplaced(1, client, D(99), D(3), 1), cancel())

    assert post.venue.asked[1:] == [("replace", client, D(99), D(3)), ("cancel", client)]


@pytest.mark.parametrize(
    ("story", "reports"),
    [
        ("filled", lambda c: [filled(c, "s-1", "1", "1"), filled(c, "s-1", "1", "0")]),
        ("rejected", lambda c: [OrderRejected(1, c, "-1", "")]),
        ("expired", lambda c: [OrderAccepted(1, c, "1", 1), OrderExpired(1, c, "ioc")]),
        ("cancelled by the venue", lambda c: [OrderAccepted(1, c, "1", 1), OrderCancelled(1, c, "venue")]),
        ("cancelled by us", lambda c: [OrderAccepted(1, c, "1", 1), cancel(), OrderCancelled(1, c, "requested")]),
        ("a stop", lambda c: [OrderAccepted(1, c, "1", 1), OrderTriggered(1, c, D(1)), filled(c, "s-1", "2", "0")]),
        ("a late refusal of a cancel", lambda c: [cancel(), filled(c, "s-1", "2", "0"), CancelRejected(1, c, "", "")]),
        (
            "a late refusal of a change",
            lambda c: [replace(), filled(c, "s-1", "2", "0"), ReplaceRejected(1, c, "", "")],
        ),
        (
            "a change, then a cancel, both too late",
            lambda c: [
                replace(),
                cancel(),
                filled(c, "s-1", "2", "0"),
                ReplaceRejected(1, c, "", ""),
                CancelRejected(1, c, "", ""),
            ],
        ),
        (
            "a change that came through while we cancelled",
            lambda c: [
                OrderAccepted(1, c, "1", 1),
                replace(),
                cancel(),
                OrderReplaced(1, c, D(99), D(3), 1),
                OrderCancelled(1, c, ""),
            ],
        ),
    ],
)
def test_an_order_that_is_over_is_forgotten(story: str, reports: Any) -> None:
    post = Post()
    client = post.send()

    post.hear(*reports(client))

    assert post.known == 0


def test_an_order_is_remembered_while_a_late_answer_is_on_its_way() -> None:
    post = Post()
    client = post.send()
    post.hear(cancel(), filled(client, "s-1", "2", "0"))
    assert post.state(client) == "filled"

    post.hear(CancelRejected(1, client, "-2011", "unknown order"))

    assert post.known == 0


@pytest.mark.parametrize("request_", [cancel, replace])
def test_a_request_about_what_is_over_has_lost_its_race(request_: Any) -> None:
    post = Post()
    client = post.send()
    post.hear(cancel(), filled(client, "s-1", "2", "0"))
    asked = list(post.venue.asked)

    post.hear(request_(), request_("s-99"))

    assert post.venue.asked == asked


@pytest.mark.parametrize("request_", [cancel, replace])
def test_nothing_more_is_asked_of_an_order_being_cancelled(request_: Any) -> None:
    post = Post()
    client = post.send()
    post.hear(cancel())

    post.hear(request_())

    assert post.venue.asked == [("submit", client), ("cancel", client)]


@pytest.mark.parametrize(
    "there", [lambda c: OrderAccepted(1, c, "1", 1), lambda c: filled(c, "s-1", "1", "1")], ids=["accepted", "filled"]
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_cancel_that_overtook_its_order_is_asked_for_again_once_the_order_is_there(
    there: Callable[[str], object], restarted: bool
) -> None:
    post = Post()
    client = post.send()
    post.hear(cancel(), CancelRejected(1, client, "-2011", "unknown order"))
    if restarted:
        kept = post.router.state()
        post = Post()
        post.router.restore(msgspec.json.decode(msgspec.json.encode(kept), type=list[SentState]))
        post.venue.asked.append(("cancel", client))

    post.hear(there(client))

    assert post.state(client) == "cancelling"
    assert post.venue.asked.count(("cancel", client)) == 2
    post.hear(CancelRejected(1, client, "-1001", "overloaded"))
    assert post.venue.asked.count(("cancel", client)) == 2, "a venue that refuses is not asked for ever"


@pytest.mark.parametrize(
    "report",
    [
        OrderAccepted(1, "stranger", "1", 1),
        filled("stranger", "s-1", "1", "0"),
        OrderCancelled(1, "stranger", ""),
        CancelRejected(1, "stranger", "", ""),
    ],
)
def test_a_report_about_a_stranger_raises(report: object) -> None:
    post = Post()
    post.send()

    with pytest.raises(ImpossibleMove, match="stranger"):
        post.hear(report)


def test_a_second_last_word_raises() -> None:
    post = Post()
    client = post.send()
    post.hear(cancel(), filled(client, "s-1", "2", "0"))

    with pytest.raises(ImpossibleMove, match="part_filled while filled"):
        post.hear(filled(client, "s-1", "1", "1"))


def test_memory_stays_bounded_over_ten_thousand_orders() -> None:
    post = Post()
    most = 0

    for n in range(10_000):
        client = post.send(f"s-{n}")
        if n % 3 == 0:
            post.hear(cancel(f"s-{n}"), filled(client, f"s-{n}", "2", "0"), CancelRejected(1, client, "", ""))
        elif n % 3 == 1:
            post.hear(OrderAccepted(1, client, "1", 1), OrderExpired(1, client, "ioc"))
        else:
            post.hear(OrderRejected(1, client, "-1", ""))
        most = max(most, post.known)

    assert post.router.orders == 10_000
    assert most <= 2
    assert post.known == 0


class Venue:
    """What a venue may honestly say of one order, whatever we ask: each request gets one answer, in time."""

    def __init__(self, post: Post, client: str) -> None:
        self.post = post
        self.client = client
        self.left = 4
        self.done = False
        self.waiting: list[str] = []

    def answer(self) -> None:
        """The oldest request that nobody has answered."""
        what = self.waiting.pop(0)
        if what == "cancel" and not self.done:
            self.done = True
            self.post.hear(OrderCancelled(1, self.client, "requested"))
        elif what == "cancel":
            self.post.hear(CancelRejected(1, self.client, "", ""))
        elif self.done:
            self.post.hear(ReplaceRejected(1, self.client, "", ""))
        else:
            self.post.hear(OrderReplaced(1, self.client, D(99), D(3), 1))

    def fill(self) -> None:
        if not self.done:
            self.left -= 1
            self.done = self.left == 0
            self.post.hear(filled(self.client, "s-1", "0.5", str(self.left)))

    def expire(self) -> None:
        if not self.done:
            self.done = True
            self.post.hear(OrderExpired(1, self.client, "gtd"))


@pytest.mark.property
@given(st.lists(st.sampled_from(["cancel", "replace", "answer", "fill", "expire"]), max_size=25))
def test_an_honest_venue_never_surprises_us_and_is_never_remembered_for_longer_than_needed(doing: list[str]) -> None:
    post = Post()
    venue = Venue(post, post.send())
    post.hear(OrderAccepted(1, venue.client, "1", 1))

    for what in doing:
        before = len(post.venue.asked)
        match what:
            case "cancel":
                post.hear(cancel())
            case "replace":
                post.hear(replace())
            case "answer" if venue.waiting:
                venue.answer()
            case "fill":
                venue.fill()
            case "expire":
                venue.expire()
        venue.waiting += [str(asked[0]) for asked in post.venue.asked[before:]]
    while venue.waiting:
        venue.answer()

    assert (post.known == 0) is venue.done
