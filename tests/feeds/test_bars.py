"""When bars close, what they hold, and those of a recorded session against pandas."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.clock import MINUTE, SECOND
from bus.events import DataGap, FeedLost, PastBar, Trade
from bus.values import Side
from feeds.bars import GRACE_NS, OFFSET_SAMPLES, EmptyBars
from tests.feeds.bar_stage import GAP, T0, Stage, ohlcv, trade


def test_a_trade_past_the_end_closes_the_bar_and_starts_the_next():
    stage = Stage(MINUTE)

    stage.hear(trade(1, 10, 2), trade(20, 12, 1), trade(30, 9, 1), trade(59.9, 11, 0.5))
    assert stage.bars == []
    stage.hear(trade(60, 50))

    [bar] = stage.bars
    assert ohlcv(bar) == (10, 12, 9, 11, 4.5, 4)
    assert (bar.start_ns, bar.end_ns) == (T0, T0 + MINUTE)
    assert bar.closed
    assert not bar.gap
    assert bar.local_ns == T0 + MINUTE


def test_the_end_belongs_to_the_next_bar_and_the_start_to_this_one():
    stage = Stage(SECOND)

    stage.hear(trade(0), trade(0.999999999), trade(1))
    stage.builder.finish()

    assert [bar.trades for bar in stage.bars] == [2, 1]


def test_a_quiet_bar_closes_by_our_clock_after_the_median_offset_and_a_grace():
    stage = Stage(MINUTE)
    stage.hear(trade(1, local_s=1.25))
    due = T0 + MINUTE + SECOND // 4 + GRACE_NS

    stage.turn_to(due - 1)
    assert stage.bars == []
    stage.turn_to(due + 5 * SECOND)

    assert [(bar.local_ns, bar.closed) for bar in stage.bars] == [(due, True)]


def test_a_clock_behind_the_venues_waits_less():
    stage = Stage(MINUTE)
    stage.hear(trade(1.27, local_s=0))

    stage.turn_to(T0 + 2 * MINUTE)

    assert stage.bars[0].local_ns == T0 + MINUTE - round(1.27 * SECOND) + GRACE_NS


def test_one_strange_offset_does_not_move_the_median():
    stage = Stage(SECOND)
    for second in range(5):
        stage.hear(trade(second, local_s=second + 0.1))
    stage.hear(trade(5, local_s=5.9))

    stage.turn_to(T0 + MINUTE)

    assert stage.bars[-1].local_ns == T0 + 6 * SECOND + SECOND // 10 + GRACE_NS


def test_old_offsets_are_forgotten():
    stage = Stage(SECOND)
    for second in range(OFFSET_SAMPLES):
        stage.hear(trade(second, local_s=second))
    for second in range(OFFSET_SAMPLES, 2 * OFFSET_SAMPLES):
        stage.hear(trade(second, local_s=second + 0.5))

    stage.turn_to(T0 + 5 * MINUTE)

    assert stage.bars[-1].local_ns == stage.bars[-1].end_ns + SECOND // 2 + GRACE_NS


def test_a_closed_bar_is_final():
    stage = Stage(SECOND)
    stage.hear(trade(0.1, 10), trade(1.1, 11))

    stage.hear(trade(0.9, 99))
    stage.turn_to(T0 + MINUTE)
    stage.hear(trade(1.9, 99, local_s=60), trade(70, 12))

    assert [ohlcv(bar) for bar in stage.bars] == [(10, 10, 10, 10, 1, 1), (11, 11, 11, 11, 1, 1)]
    assert stage.builder.late == 2


def test_a_trade_late_for_the_second_is_in_time_for_the_minute():
    stage = Stage(MINUTE, SECOND)

    stage.hear(trade(0.1), trade(1.1), trade(0.9))
    stage.builder.finish()

    assert [(bar.interval_ns, bar.trades) for bar in stage.bars] == [(SECOND, 1), (SECOND, 1), (MINUTE, 3)]
    assert stage.builder.late == 1


def test_the_shorter_bar_closes_first():
    by_trade, by_timer = Stage(5 * MINUTE, SECOND, MINUTE), Stage(5 * MINUTE, SECOND, MINUTE)
    intervals = [SECOND, MINUTE, 5 * MINUTE]
    by_trade.hear(trade(299.5))
    by_timer.hear(trade(200), trade(299.5))

    by_trade.hear(trade(300))
    by_timer.turn_to(T0 + 10 * MINUTE)

    assert [bar.interval_ns for bar in by_trade.bars] == intervals
    assert [bar.interval_ns for bar in by_timer.bars[-3:]] == intervals
    assert len({bar.local_ns for bar in by_timer.bars[-3:]}) == 1


def test_an_empty_bucket_is_no_bar():
    stage = Stage(SECOND)

    stage.hear(trade(0), trade(5))
    stage.turn_to(T0 + MINUTE)

    assert [bar.start_ns - T0 for bar in stage.bars] == [0, 5 * SECOND]


def test_an_empty_bucket_can_be_flat_at_the_last_close():
    stage = Stage(SECOND, empty=EmptyBars.FLAT)
    stage.hear(trade(0, 10), trade(0.5, 11))

    stage.hear(trade(3, 20))
    stage.turn_to(T0 + 5 * SECOND + GRACE_NS)

    assert [ohlcv(bar) for bar in stage.bars] == [
        (10, 11, 10, 11, 2, 2),
        (11, 11, 11, 11, 0, 0),
        (11, 11, 11, 11, 0, 0),
        (20, 20, 20, 20, 1, 1),
        (20, 20, 20, 20, 0, 0),
    ]
    assert [bar.local_ns - bar.end_ns for bar in stage.bars[2:]] == [0, GRACE_NS, GRACE_NS]


def test_nothing_is_flat_before_the_first_trade():
    stage = Stage(SECOND, empty=EmptyBars.FLAT)

    stage.turn_to(T0)

    assert stage.bars == []


def test_what_still_forms_at_the_end_is_published_open_and_only_once():
    stage = Stage(SECOND, MINUTE)
    stage.hear(trade(0.5, 10))

    stage.builder.finish()
    stage.builder.finish()
    stage.turn_to(T0 + 5 * MINUTE)

    assert [(bar.interval_ns, bar.closed) for bar in stage.bars] == [(SECOND, False), (MINUTE, False)]


def test_a_gap_touches_the_bars_it_reaches():
    stage = Stage(SECOND, empty=EmptyBars.FLAT)

    stage.hear(trade(0), trade(1), GAP, trade(3), trade(4))
    stage.builder.finish()

    assert [bar.gap for bar in stage.bars] == [False, True, True, True, False]


def test_a_gap_that_ends_within_its_bar_does_not_touch_the_next():
    stage = Stage(SECOND)

    stage.hear(trade(0), GAP, trade(0.5), trade(1))
    stage.builder.finish()

    assert [bar.gap for bar in stage.bars] == [True, False]


def test_a_gap_between_bars_touches_the_next_one():
    stage = Stage(SECOND)
    stage.hear(trade(0))
    stage.turn_to(T0 + MINUTE)

    stage.hear(FeedLost(0, "c1", "closed"), trade(61), trade(62))
    stage.builder.finish()

    assert [bar.gap for bar in stage.bars] == [False, True, False]


def test_a_lost_feed_touches_every_instrument_and_a_gap_only_its_own():
    stage = Stage(SECOND)

    stage.hear(trade(0), trade(0, of="sim:B"), GAP, trade(1), trade(1, of="sim:B"))
    stage.hear(FeedLost(0, "c1", "closed"))
    stage.builder.finish()

    assert [(bar.instrument, bar.gap) for bar in stage.bars] == [
        ("sim:A", True),
        ("sim:B", False),
        ("sim:A", True),
        ("sim:B", True),
    ]


def test_a_gap_in_another_stream_is_no_gap_in_the_trades():
    stage = Stage(SECOND)

    stage.hear(trade(0), DataGap(0, "sim:A", "depth", 1, 2))
    stage.builder.finish()

    assert not stage.bars[0].gap


def test_trades_without_a_venue_time_count_by_ours():
    stage = Stage(SECOND)

    for local_s, price in ((0.1, 10.0), (0.2, 12.0), (0.3, 9.0), (1.5, 11.0)):
        stage.hear(Trade("sim:A", price, 1.0, Side.BUY, 0, 0, T0 + round(local_s * SECOND)))
    stage.builder.finish()

    assert [ohlcv(bar) for bar in stage.bars] == [(10, 12, 9, 9, 3, 3), (11, 11, 11, 11, 1, 1)]


def test_at_most_one_timer_stands_per_instrument():
    stage = Stage(SECOND, MINUTE)

    for second in range(100):
        stage.hear(trade(second), trade(second + 0.5))

    assert sum(timer.callback is not None for _, _, timer in stage.clock._heap) == 1


# --- a real day ------------------------------------------------------------------------------------------------


def read_trades(path: Path) -> Sequence[Trade]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return [
            Trade(
                "binance:BTC/USDT",
                float(row["price"]),
                float(row["qty"]),
                Side.SELL if row["buyer_is_maker"] == "True" else Side.BUY,
                int(row["trade_id"]),
                int(row["trade_ms"]) * 1_000_000,
                int(row["recv_ts_ns"]),
            )
            for row in csv.DictReader(file)
        ]


@pytest.mark.shared
@pytest.mark.parametrize("interval_s", [1, 60, 300])
def test_bars_of_a_recorded_session_equal_pandas_resample(recordings: Path, interval_s: int):
    import pandas as pd

    trades = read_trades(recordings / "trades" / "binance_spot_btcusdt_20240808_20240809.csv.gz")
    stage = Stage(SECOND, MINUTE, 5 * MINUTE)

    stage.hear(*trades)
    stage.builder.finish()

    frame = pd.DataFrame(
        {"price": [t.price for t in trades], "size": [t.size for t in trades]},
        index=pd.to_datetime([t.venue_ns for t in trades], unit="ns", utc=True),
    )
    buckets = frame.resample(pd.Timedelta(seconds=interval_s))
    expected = buckets["price"].ohlc().assign(volume=buckets["size"].sum(), trades=buckets["size"].count())
    expected = expected[expected["trades"] > 0]
    bars = [bar for bar in stage.bars if bar.interval_ns == interval_s * SECOND]
    assert stage.builder.late == 0
    assert [bar.start_ns for bar in bars] == pd.DatetimeIndex(expected.index).as_unit("ns").asi8.tolist()
    assert [ohlcv(bar)[:4] for bar in bars] == list(
        expected[["open", "high", "low", "close"]].itertuples(index=False, name=None)
    )
    assert [bar.volume for bar in bars] == pytest.approx(expected["volume"].tolist(), rel=1e-9)
    assert [bar.trades for bar in bars] == expected["trades"].tolist()
    assert [bar.closed for bar in bars] == [True] * (len(bars) - 1) + [False]


def past(start_s: int, close: float = 5.0) -> PastBar:
    start_ns = T0 + start_s * SECOND
    return PastBar("sim:A", MINUTE, start_ns, start_ns + MINUTE, close, close, close, close, 1.0, 1, T0)


def test_bars_from_the_venue_fill_what_lies_between_the_last_closed_and_the_one_that_forms():
    stage = Stage(MINUTE)

    stage.hear(past(-120), past(-60), trade(1, 10), past(-60), past(0), trade(60, 11))
    stage.hear(trade(300, 12), past(60), past(120), past(180), past(240), past(300))

    assert [(bar.start_ns - T0) // SECOND for bar in stage.bars] == [-120, -60, 0, 60, 120, 180, 240]
    assert [bar.backfilled for bar in stage.bars] == [True, True, False, False, True, True, True]
    assert all(bar.closed and not bar.gap for bar in stage.bars)


def test_bars_from_the_venue_of_a_length_nobody_asked_for_are_nobody_s():
    stage = Stage(SECOND)

    stage.hear(past(-60))

    assert stage.bars == []
