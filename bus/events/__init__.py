"""The vocabulary of the bus: the market, what is wanted and decided, orders, the account, the session; a file each,
imported from here.

Facts are nouns or past tense, requests imperative. Market events (``market.py``) are float, are not journaled, and
carry both clocks: ``venue_ns`` is the venue's (0 where the venue sends none), ``local_ns`` ours when the frame was
accepted. Every other event is a record of the journal: its first field is ``ns``, our clock when it happened, and it
encodes as the array of its fields in the order declared here. Changing that order is a new journal format.
"""

from __future__ import annotations

from bus.events.account import BarsPassed, FundingPaid, Sheet
from bus.events.decisions import (
    Adaptation,
    CancelIntent,
    CouncilVoted,
    Decision,
    Intent,
    IntentLogged,
    ModelAnswered,
    PairIntent,
    ParametersAdapted,
    ReplaceIntent,
    WeightChanged,
)
from bus.events.market import (
    MARKET_EVENTS,
    Bar,
    BookSnapshot,
    BookUpdate,
    Kline,
    Levels,
    MarkPrice,
    PastBar,
    Quote,
    RegimeState,
    Ticker,
    Trade,
)
from bus.events.orders import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderApproved,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderTriggered,
    PairBroken,
    ReplaceApproved,
    ReplaceRejected,
    ReplaceRequested,
)
from bus.events.record import Record
from bus.events.session import (
    ENDED,
    HANDED_OVER,
    BookInvalidated,
    BookRestored,
    CommandGiven,
    DataGap,
    FeedLost,
    FeedOpened,
    FeedRetired,
    InputFaulted,
    InstrumentListed,
    LimitsChanged,
    PartFailed,
    SessionClosed,
    SessionOpened,
    SourceSwitched,
    StateRestored,
    StrategyQuarantined,
    StreamFresh,
    StreamStale,
    Token,
    TradingStateChanged,
)

RECORDS: dict[str, type[Record]] = {
    cls.__name__: cls
    for cls in (
        SessionOpened,
        SessionClosed,
        StateRestored,
        CommandGiven,
        LimitsChanged,
        InstrumentListed,
        FeedOpened,
        FeedLost,
        FeedRetired,
        SourceSwitched,
        StreamStale,
        StreamFresh,
        DataGap,
        BookInvalidated,
        BookRestored,
        Decision,
        CouncilVoted,
        WeightChanged,
        ParametersAdapted,
        ModelAnswered,
        IntentLogged,
        OrderApproved,
        OrderRefused,
        PairBroken,
        CancelRequested,
        ReplaceApproved,
        OrderSubmitted,
        OrderAccepted,
        OrderTriggered,
        OrderFilled,
        OrderCancelled,
        OrderExpired,
        OrderRejected,
        OrderReplaced,
        CancelRejected,
        ReplaceRejected,
        FundingPaid,
        BarsPassed,
        TradingStateChanged,
        StrategyQuarantined,
        PartFailed,
        InputFaulted,
    )
}
