"""The one way to the market: every decision is sized, rounded and held to the rules here, or refused with the numbers.

A refusal is an event like any other. Some rules do more than refuse: stale data also pulls what rests on the
instrument; session drawdown, a run of rejects and the kill switch stop all trading (positions stay). Money code
fails closed: where the market, the instrument or the account's worth is not known, the answer is no.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from decimal import Decimal

import msgspec

from bus import money
from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import (
    Decision,
    Intent,
    OrderAccepted,
    OrderApproved,
    OrderRefused,
    OrderRejected,
    PartFailed,
    ReplaceApproved,
    ReplaceRequested,
    StreamStale,
    Token,
)
from bus.market import Market
from bus.state import GateState
from bus.values import ZERO, Action, Check, Instrument, Kind, Order, OrderType, Side, TradingState
from portfolio.equity import CannotValue, Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from risk import translator
from risk.governor import Band
from risk.oversight import Oversight
from risk.rules import (
    GUARDS,
    HALTING,
    KILL_SWITCH,
    NO_ORDER,
    Limits,
    Proposal,
    Standing,
    all_kept,
    first_broken,
    looser_than,
)
from risk.switch import Switch
from risk.translator import Unsizable

_TOO_LONG = "its numbers are too large or too fine to be exact"

_ARMED, _SPOT, _BUY, _SELL = TradingState.ARMED, Kind.SPOT, Side.BUY, Side.SELL
_MARKET, _OK = OrderType.MARKET, Band.OK
# Reading a member through its class costs a Python call on 3.11; an order passes here while somebody waits.


class NoMarket(Unsizable):
    """Nothing to trade against right now; it may come back."""


Reach = tuple[Decimal, Decimal]
"""The lowest and the highest position that open orders can lead to."""


class Gate:
    """``default_notional`` sizes an intent that names neither size nor exposure, in quote units. ``missed``, where it
    is set, says why a decision comes too late to be acted on.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        market: Market,
        ledger: Ledger,
        exposure: Exposure,
        equity: Equity,
        limits: Limits,
        default_notional: Decimal,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._market = market
        self._ledger = ledger
        self._exposure = exposure
        self._equity = equity
        self._limits = limits
        self._default_notional = default_notional
        self._standing = Standing(limits.max_orders, exposure.count)
        self.switch = Switch(bus, clock, ledger, exposure, self._standing, self._of_account)
        self._oversight: Oversight | None = None
        self.missed: Callable[[], str] | None = None
        self.routing = True
        self.refused = 0
        self._latest: Decision | None = None
        self.on_judged: Callable[[str, list[Check]], None] | None = None
        """Told of every order that came before the rules, with all their answers, where somebody asks why."""

    def attach(self, bus: Bus) -> None:
        bus.subscribe(Decision, self.on_decision)
        bus.subscribe(ReplaceRequested, self.on_replace)
        self._acceptances = bus.subscribe(OrderAccepted, self.on_accepted, active=False)
        bus.subscribe(OrderRejected, self.on_rejected)
        bus.subscribe(PartFailed, self.on_part_failed)
        bus.subscribe(StreamStale, self.on_stale)
        bus.subscribe(Token, self.on_token)
        self._equity.arm(self._limits.max_drawdown_bps / 10_000, self._on_drawdown)

    def oversee(self, oversight: Oversight) -> None:
        """Ask ``oversight`` too, after the rules: bands, rules that were configured, sizes, horizons."""
        self._oversight = self.switch.oversight = oversight
        oversight.tell, oversight.pull = self.switch.told, self.switch.pull
        oversight.horizons.is_fresh = self._is_fresh

    def _is_fresh(self, instrument: str) -> bool:
        """Whether an order for it would pass as far as the age of its market goes."""
        age_ns = self._clock.now - self._market.heard_ns(instrument)
        return instrument not in self._market.stale and age_ns <= self._limits.stale_data_threshold_s * SECOND

    # --- orders -------------------------------------------------------------------------------------------------

    def on_decision(self, decision: Decision) -> None:
        weighed = self._weigh(decision)
        if not isinstance(weighed, Proposal):
            self._refuse(decision.intent_id, decision.strategy, decision.intent.instrument, *weighed)
            return
        order, mid = weighed.order, weighed.mid
        if self.on_judged is not None:
            self.on_judged(order.intent_id, self._checks(weighed))
        if not all_kept(weighed, self._limits, self._standing) or self._overseen(weighed):
            self._break(weighed)
            return
        self._latest = decision
        self._standing.approved_ns.append(self._clock.now)
        self._exposure.reserve(order, mid)
        if decision.intent.horizon_s and self._oversight is not None:
            self._oversight.approved(order, decision.intent)
        self._bus.publish(OrderApproved(self._clock.now, order, mid))

    def _weigh(self, decision: Decision) -> Proposal | tuple[str, str]:
        """What the rules are to be asked about; or the rule, and the reason, that nothing gets as far as them."""
        intent = decision.intent
        instrument = self._market.instruments.get(intent.instrument)
        mid = self._market.mid(intent.instrument)
        closed = self._closed(intent.instrument, instrument, mid)
        if closed:
            return closed
        assert instrument is not None, "closed to what nobody has listed"
        if intent.expires_ns and intent.expires_ns < self._clock.now:
            return "expired", "the intent was stale before it got here"
        try:
            market_price = money.from_float(mid)
            reach = self._exposure.position_if_all_fill(instrument.name)
            order = self._order(decision, instrument, market_price, reach)
            proposal = self._proposal(order, instrument, mid, order.price or market_price, reach)
            if proposal.notional < instrument.min_notional and not intent.reduce_only:
                raise Unsizable(
                    f"notional {proposal.notional} is below the venue's smallest, {instrument.min_notional}"
                )
        except (Unsizable, CannotValue) as why:
            return "translator", str(why)
        except ArithmeticError:
            return "translator", _TOO_LONG
        return proposal

    def rehearse(self) -> None:
        """Weigh the latest order that was approved once more, and forget what came of it.

        Orders are rare, and a processor's caches forget: some milliseconds after the last one the way of an order has
        to be fetched from memory again, which takes longer than going it. Nothing is changed, published or counted.
        """
        if self._latest is not None:
            weighed = self._weigh(self._latest)
            if isinstance(weighed, Proposal):
                all_kept(weighed, self._limits, self._standing)

    def on_replace(self, request: ReplaceRequested) -> None:
        """A replacement is held to the rules as the order it would become."""
        open_order = self._exposure.find(request.intent_id)
        if open_order is None:
            return  # done before the wish got here: the race is lost, as at a venue
        order = msgspec.structs.replace(open_order.order, price=open_order.price, size=open_order.size)
        instrument = self._market.instruments[order.instrument]
        mid = self._market.mid(order.instrument)
        reason = self._closed(order.instrument, instrument, mid)
        if reason:
            self._refuse(request.intent_id, request.strategy, order.instrument, *reason)
            return
        try:
            replaced = _replaced(order, request, instrument)
            price = replaced.price or translator.exact(mid)
            reach = self._exposure.position_if_all_fill(instrument.name)
            replacing = open_order.leaves + open_order.filled  # totals: what has filled is in both, and held already
            proposal = self._proposal(replaced, instrument, mid, price, reach, replacing, open_order.filled)
        except Unsizable as why:
            self._refuse(request.intent_id, request.strategy, order.instrument, "translator", str(why))
            return
        except ArithmeticError:
            self._refuse(request.intent_id, request.strategy, order.instrument, "translator", _TOO_LONG)
            return
        if not all_kept(proposal, self._limits, self._standing) or self._overseen(proposal):
            self._break(proposal)
            return
        self._standing.approved_ns.append(self._clock.now)
        self._exposure.reserve_replacement(order.intent_id, replaced.size)
        price = replaced.price if replaced.price is not None else ZERO
        self._bus.publish(
            ReplaceApproved(self._clock.now, order.intent_id, order.strategy, price, replaced.size, request.reason)
        )

    def _closed(self, name: str, instrument: Instrument | None, mid: float) -> tuple[str, str] | tuple[()]:
        """Why nothing may be sent at all right now, or nothing."""
        switch = self.switch
        if switch.state is not _ARMED and not switch.lets_out:
            return switch.latched or "trading_state", f"trading is {switch.state.value}"
        missed = self.missed  # called as what it is: no method to look for
        if missed is not None and (late := missed()):
            return "missed", late
        if not self.routing:
            return "routing", "routing is off: what strategies want is noted and goes nowhere"
        if instrument is None:
            return "instrument", f"nothing is known of {name}: no tick, no lot, no fees; list it in the config"
        if not instrument.trading:
            return "instrument", f"{name} is not trading at its venue"
        if name in self._market.stale:
            return "stale_data", self._market.stale[name]
        if self._equity.start is None:
            return "no_value", "something the account holds has no price yet, so its losses cannot be watched"
        if not 0.0 < mid < math.inf:
            return "no_market", f"{name} has no usable market: its book is invalid, one-sided, crossed or not heard yet"
        return ()

    def _order(self, decision: Decision, instrument: Instrument, market_price: Decimal, reach: Reach) -> Order:
        """Size and round an intent. Raises Unsizable with the reason where nothing tradeable is left of it."""
        intent = decision.intent
        held, whole, reduce_only = self._ledger.inventory(instrument.name), reach, intent.reduce_only
        if (
            self._oversight is not None
            and self._oversight.owns
            and (own := self._oversight.own(decision.strategy, instrument)) is not None
        ):
            held, reach = own[0], own[1:]
        side = translator.direction(intent.action, held)
        if intent.reduce_only and not (reach[1] > ZERO if side is _SELL else reach[0] < ZERO):
            raise Unsizable("reduce-only, and there is nothing to reduce")  # the venue would reject it
        price = stop = trail = None
        type = _MARKET
        if intent.limit is not None:
            price = translator.quantise_price(translator.exact(intent.limit), side, instrument)
        if intent.stop is not None:
            stop = translator.quantise_price(translator.exact(intent.stop), side, instrument)
        if intent.trail is not None:
            trail = translator.quantise_price(translator.exact(intent.trail), side, instrument)
        if price is not None or stop is not None or trail is not None:
            type = translator.order_type(price, stop, trail)
        wanted = self._size(decision, instrument, side, price or market_price, held, reach)
        if (
            (instrument.max_size or instrument.max_market_size)
            and intent.action in translator.EXITS
            and (most := translator.most(instrument, type))
        ):
            wanted = min(wanted, most)  # a venue takes it in parts, or not at all
        size = translator.quantise_size(wanted, instrument)
        if reduce_only and reach is not whole:  # a part may stand against the whole, which is what a venue knows
            reduce_only = size <= (whole[0] if side is _SELL else -whole[1])
        return Order(
            decision.intent_id,
            decision.strategy,
            instrument.name,
            side,
            type,
            size,
            price,
            stop,
            trail,
            intent.tif,
            intent.good_till_ns,
            intent.post_only,
            reduce_only,
        )

    def _size(
        self, decision: Decision, instrument: Instrument, side: Side, price: Decimal, held: Decimal, reach: Reach
    ) -> Decimal:
        intent, oversight = decision.intent, self._oversight
        action = intent.action
        named = None if intent.size is None else translator.exact(intent.size)
        if action in translator.EXITS:
            wallet = None
            if instrument.kind is _SPOT and side is _SELL:
                wallet = self._ledger.cash.get(instrument.base, ZERO)
            closable = translator.exit_size(action, *reach, wallet)
            return closable if named is None else min(named, closable)
        if named is None:
            notional = self._default_notional
            if oversight is not None and oversight.stakes:
                notional = oversight.stake(decision.strategy, intent)
            elif intent.exposure is not None:
                notional = translator.exact(intent.exposure) * self._equity.value()
            named = translator.size_of_notional(notional, price, instrument)
        if oversight is not None and oversight.governor.band is not _OK and oversight.scale != 1:
            named *= oversight.scale if not self._gets_out(intent, named, reach) else 1
        if action in translator.NAMED:
            return named
        if instrument.kind is _SPOT and side is _SELL:
            raise Unsizable("spot cannot be held short")
        if oversight is not None and oversight.stakes and oversight.adds:
            expected = reach[0] + reach[1] - held
            named += max(ZERO, expected if action is Action.ENTER_LONG else -expected)
        return translator.entry_size(named, action, held, *reach)

    def _gets_out(self, intent: Intent, size: Decimal, reach: Reach) -> bool:
        """A named size that can only make the position smaller is not an entry."""
        if intent.action is Action.SELL:
            return intent.reduce_only or size <= reach[0]
        return intent.action is Action.BUY and (intent.reduce_only or size <= -reach[1])

    def _proposal(
        self,
        order: Order,
        instrument: Instrument,
        mid: float,
        price: Decimal,
        reach: Reach,
        replacing: Decimal = ZERO,
        filled: Decimal = ZERO,
    ) -> Proposal:
        lowest, highest = reach
        if order.reduce_only:
            with_it = self._exposure.position_if_it_reduces(order, replacing)
            after = with_it[1] if order.side is _BUY else with_it[0]
            reduces = abs(after) <= max(abs(lowest), abs(highest))  # else it clears the way for what goes through it
        elif order.side is _BUY:
            after = highest + order.size - replacing
            reduces = after <= ZERO
        else:
            after = lowest - order.size + replacing
            reduces = after >= ZERO
        worst = abs(after)
        notional = translator.notional_of(order.size, price, instrument)
        now = self._clock.now
        return Proposal(
            order,
            instrument,
            price,
            notional,
            worst,
            notional if worst == order.size else translator.notional_of(worst, price, instrument),
            reduces,
            self._drawdown(),
            mid,
            now - self._market.heard_ns(order.instrument),
            now,
            replacing,
            filled,
        )

    # --- answers ------------------------------------------------------------------------------------------------

    def _refuse(self, intent_id: str, strategy: str, instrument: str, rule: str, reason: str) -> None:
        """Refuse what never became an order; the checks are of the account alone."""
        self.refused += 1
        checks = self._of_account()
        self._bus.publish(OrderRefused(self._clock.now, intent_id, strategy, instrument, rule, reason, checks))

    def _break(self, proposal: Proposal) -> None:
        """Refuse with every rule's numbers in their order, and do what else breaking the first of them asks for."""
        broken = first_broken(proposal, self._limits, self._standing) or self._overseen(proposal)
        assert broken is not None, "both readings of the rules agree"
        checks = self._checks(proposal)
        failed = next(check for check in checks if check.rule == broken)
        reason = self._standing.killed if broken == KILL_SWITCH else f"{failed.value} > {failed.limit}"
        if self._oversight is not None and (arithmetic := self._oversight.arithmetic(broken, proposal)):
            reason = f"{reason}: {arithmetic}"
        order = proposal.order
        self.refused += 1
        self._bus.publish(
            OrderRefused(self._clock.now, order.intent_id, order.strategy, order.instrument, broken, reason, checks)
        )
        if broken in HALTING:
            self.switch.halt(broken, reason, checks)
        elif broken == "stale_data":
            self.switch.pull(order.instrument, broken, "the market data is stale")

    def _checks(self, proposal: Proposal) -> list[Check]:
        if proposal is NO_ORDER:
            proposal = msgspec.structs.replace(proposal, drawdown=self._drawdown())
        checks = [_check(name, *rule(proposal, self._limits, self._standing)) for name, rule in GUARDS.items()]
        if self._oversight is not None:
            measured = self._oversight.measures(proposal, reducing=self.switch.lets_out)
            checks += [_check(name, value, limit) for name, value, limit in measured]
        return checks

    def _of_account(self) -> list[Check]:
        return self._checks(NO_ORDER)

    def _overseen(self, proposal: Proposal) -> str | None:
        """The first of the further rules that is broken."""
        if self._oversight is None or not (self.switch.lets_out or self._oversight.extra.rules):
            return None
        return self._oversight.first_broken(proposal, reducing=self.switch.lets_out)

    def reduce(self, intent_id: str, strategy: str, name: str) -> None:
        """Send a market order against all that is held of an instrument, reduce-only, whatever closed the gate.

        Raises Unsizable where it cannot be: no usable market, or less held than can be sold.
        """
        instrument, mid = self._market.instruments.get(name), self._market.mid(name)
        age_s = (self._clock.now - self._market.heard_ns(name)) / SECOND
        if instrument is None or not mid > 0.0 or age_s > self._limits.stale_data_threshold_s:
            raise NoMarket(f"{name} has no usable market")
        intent = Intent(name, Action.FLAT, reduce_only=True)
        reach = self._exposure.position_if_all_fill(name)
        decision = Decision(self._clock.now, intent_id, strategy, intent)
        order = self._order(decision, instrument, translator.exact(mid), reach)
        self._exposure.reserve(order, mid)
        self._bus.publish(OrderApproved(self._clock.now, order, mid))

    @property
    def limits(self) -> Limits:
        return self._limits

    def limit(self, limits: Limits) -> list[str]:
        """Take other limits, while armed only tighter ones; returns what is looser and therefore was not taken."""
        if self.switch.state is _ARMED and (looser := looser_than(self._limits, limits)):
            return looser
        self.relimit(limits, self._default_notional)
        return []

    def remember(self) -> GateState:
        standing = self._standing
        latched = self.switch.latched
        return GateState(standing.rejects, latched, standing.killed or latched, list(standing.approved_ns))

    def recall(self, state: GateState) -> None:
        """Go on where another session ended. Whatever halted it is still so, until somebody says ``relent``."""
        self._standing.rejects = state.rejects
        if state.rejects:
            self._acceptances.resume()
        self._standing.approved_ns.extend(state.approved_ns)
        self.switch.latched = state.latched

    def relimit(self, limits: Limits, default_notional: Decimal) -> None:
        """Hold what comes from here on to other limits; what was halted stays halted."""
        self._limits, self._default_notional = limits, default_notional
        self._standing.approved_ns = deque(self._standing.approved_ns, maxlen=limits.max_orders)
        self._equity.arm(limits.max_drawdown_bps / 10_000, self._on_drawdown)

    def on_accepted(self, _: OrderAccepted) -> None:
        """The first after a reject ends the run of them; until the next there is nothing to count."""
        self._standing.rejects = 0
        self._acceptances.pause()

    def on_rejected(self, event: OrderRejected) -> None:
        self._standing.rejects += 1
        self._acceptances.resume()
        if self._standing.rejects > self._limits.max_consecutive_rejects and not self.switch.is_flattening:
            self.switch.halt(
                "consecutive_rejects", f"{self._standing.rejects} in a row, the last: {event.code} {event.reason}"
            )

    def on_stale(self, event: StreamStale) -> None:
        self.switch.pull(event.instrument, "stale_data", f"{event.stream}: {event.reason}")

    def on_part_failed(self, event: PartFailed) -> None:
        self.switch.halt("part_failed", f"{event.part}: {event.error}")

    def on_token(self, token: Token) -> None:
        """Alive is who can still say yes or no: all rules are read."""
        token.seen = len(self._of_account()) >= len(GUARDS)

    def _drawdown(self) -> float:
        """The fraction of the session's start that is lost; infinite where nobody can say."""
        try:
            lost = self._equity.drawdown_from_start()
            # A hair above the limit in float may be none in Decimal, which decides.
            return lost if lost * 10_000 <= self._limits.max_drawdown_bps else float(self._equity.confirm()[1])
        except CannotValue:
            return math.inf

    def _on_drawdown(self) -> None:
        bps = self._drawdown() * 10_000
        stop = self.switch.note if self.switch.is_flattening else self.switch.halt
        stop("session_drawdown", f"{bps:.1f} > {self._limits.max_drawdown_bps}")


def _replaced(order: Order, request: ReplaceRequested, instrument: Instrument) -> Order:
    price, size = order.price, order.size
    if request.limit is not None:
        price = translator.quantise_price(translator.exact(request.limit), order.side, instrument)
    if request.size is not None:
        size = translator.quantise_size(translator.exact(request.size), instrument)
    return msgspec.structs.replace(order, price=price, size=size)


def _check(name: str, value: object, limit: object) -> Check:
    return Check(name, bool(value <= limit), _text(value), _text(limit))  # type: ignore[operator]  # one number to another


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return money.plain(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
