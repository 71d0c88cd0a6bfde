"""The venue written down and set up again: its account, its orders where they stand, and what is on the wire.

A restart must not move a resting order's place, draw a latency twice or lose what was under way. What is public is not
kept: the market is heard again, and until a book is whole nothing fills. This is the venue's own memory, so it reads
what others have no business with.
"""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import msgspec

from bus.book import Book
from bus.events import RECORDS
from bus.state import MarginState, MessageState, TakenState, VenueOrderState, VenueState
from sim.exchange import Exchange
from sim.floor import Floor
from sim.liquidity import Taken
from sim.matching import Desk
from sim.members import GTD
from sim.orders import OPEN, Stage, VenueOrder
from sim.reports import Act
from sim.wire import Message, Read

_FIELDS = tuple(name for name in VenueOrderState.__struct_fields__ if name not in ("stage", "shelf", "number"))
_CONTENT = {"_arrive": "arrive", "_cancel": "cancel", "_replace": "replace", "hear": "report"}


def remember(venue: Exchange) -> VenueState:
    account, floor = venue.account, venue._floor
    desks = floor.desks
    shelved = [order for desk in desks.values() for order in desk.open_orders()]
    travelling = [
        order
        for message in venue.wire.messages
        if (order := getattr(message.content, "order", message.content)) is not None and type(order) is VenueOrder
    ]
    known = {id(order): order for order in chain(venue._orders.values(), shelved, travelling)}
    return VenueState(
        {asset: amount for asset, amount in account.free.items() if amount},
        {asset: amount for asset, amount in account.locked.items() if amount},
        [MarginState(name, p.size, p.cost, p.margin) for name, p in account.positions.items() if p.size],
        [_order(order, desks) for order in known.values()],
        [_message(message) for message in venue.wire.messages],
        floor._arrivals,
        [taken for desk in desks.values() if (taken := _taken(desk)) is not None],
        sorted(venue._market.books),
        venue._funding.state(),
    )


def recall(venue: Exchange, state: VenueState) -> None:
    """Set a venue up that has done nothing yet. What was due while nobody was there is read at once, in its order."""
    account, floor, market = venue.account, venue._floor, venue._market
    account.free.clear()
    account.free.update(state.free)
    account.locked.update(state.locked)
    for margin in state.margins:
        position = account.positions[margin.instrument]
        position.size, position.cost, position.margin = margin.size, margin.cost, margin.margin
    for name in state.books:
        market.books.setdefault(name, Book())
    orders = {one.client_id: _again(venue, one) for one in state.orders}
    for one in sorted(state.orders, key=lambda one: one.number):
        if one.shelf:
            _shelve(floor, floor.desk(market.instruments[one.terms.instrument]), orders[one.client_id], one)
    floor._arrivals = state.arrivals
    for taken in state.taken:
        desk = floor.desk(market.instruments[taken.instrument])
        desk.offers.restore(_levels(taken.buys), _levels(taken.sells))
        floor._heed(desk)
    readers: dict[str, Read] = {
        "arrive": venue._arrive,
        "cancel": venue._cancel,
        "replace": venue._replace,
        "report": venue._reporter.hear,
    }
    for message in state.messages:
        venue.wire.put(message.due_ns, readers[message.what], _content(message, orders))
        if message.what == "arrive":
            venue.unheard.add(orders[message.client_id].terms.instrument)
    venue._funding.restore(state.funding)
    for name in account.positions:
        venue._funding.position_changed(name)


def _order(order: VenueOrder, desks: dict[str, Desk]) -> VenueOrderState:
    shelf, number = "", 0
    desk = desks.get(order.terms.instrument)
    if desk is not None and order.shelf is not None:
        shelf = next(name for name in ("bids", "asks", "stops", "waiting") if getattr(desk, name) is order.shelf)
        number = order.place[1] if type(order.place) is tuple else order.shelf.index(order)
    values = {name: getattr(order, name) for name in _FIELDS}
    return VenueOrderState(**values, stage=order.stage.value, shelf=shelf, number=number)


def _again(venue: Exchange, state: VenueOrderState) -> VenueOrder:
    order = VenueOrder(state.client_id, state.terms, state.price, state.size, state.leaves)
    for name in _FIELDS:
        setattr(order, name, getattr(state, name))
    order.stage = Stage(state.stage)
    venue._orders.setdefault(order.client_id, order)
    if order.terms.tif is GTD and order.stage is OPEN:
        order.timer = venue._clock.at(order.terms.expires_ns, partial(venue._reach_date, order))
    return order


def _shelve(floor: Floor, desk: Desk, order: VenueOrder, state: VenueOrderState) -> None:
    """Back to its place, with the queue before it as it was."""
    if state.shelf in ("stops", "waiting"):
        desk.keep(order, getattr(desk, state.shelf))
    else:
        desk.rest(order, state.number)
        order.ahead, order.shown, order.shown_ns = state.ahead, state.shown, state.shown_ns
        order.traded = state.traded
    floor._heed(desk)


def _message(message: Message) -> MessageState:
    what, content = _CONTENT[message.read.__name__], message.content
    match content:
        case VenueOrder():
            return MessageState(message.due_ns, what, content.client_id)
        case str():
            return MessageState(message.due_ns, what, content)
        case Act():
            events: list[tuple[str, Any]] = [
                (type(event).__name__, msgspec.to_builtins(event)) for event in content.events
            ]
            client_id = content.order.client_id if content.order is not None else ""
            return MessageState(message.due_ns, what, client_id, events=events)
    client_id, price, size = content
    return MessageState(message.due_ns, what, client_id, price, size)


def _content(state: MessageState, orders: dict[str, VenueOrder]) -> object:
    match state.what:
        case "arrive":
            return orders[state.client_id]
        case "cancel":
            return state.client_id
        case "replace":
            return state.client_id, state.price, state.size
    events = [msgspec.convert(fields, RECORDS[name]) for name, fields in state.events]
    return Act(orders.get(state.client_id), state.due_ns, events)


def _taken(desk: Desk) -> TakenState | None:
    buys, sells = desk.offers.state()
    if not buys and not sells:
        return None
    return TakenState(desk.instrument.name, _rows(buys), _rows(sells))


def _rows(taken: Taken) -> list[tuple[float, float, Any]]:
    return [(price, shown, size) for price, (shown, size) in taken.items()]


def _levels(rows: list[tuple[float, float, Any]]) -> Taken:
    return {price: (shown, size) for price, shown, size in rows}
