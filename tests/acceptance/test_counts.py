"""What the commands say is in the real recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import tape
from tests.acceptance.command import argus, replay

pytestmark = pytest.mark.shared

VENUES = ("binance_spot", "binance_us", "binance_usdm", "binance_coinm", "coinbase_advanced", "coinbase_exchange")
ACKS_AND_HEARTBEATS = {
    # heartbeats 14 and subscription lists 5
    "coinbase_advanced/btcusd_ethusd_20260809_part1": 19,
    # subscription lists 3
    "coinbase_exchange/multi_20210417_part1": 3,
}


def test_the_btcusdt_capture_is_counted_to_the_last_frame(recordings, tmp_path):
    summary = replay(recordings / tape.CAPTURE, "--out", tmp_path / "session")

    counted = {name: summary[name] for name in ("frames", "quotes", "trades", "depth_updates", "unparsed", "gaps")}
    assert counted == {
        "frames": 99_573,
        "quotes": 73_174,
        "trades": 19_904,
        "depth_updates": 6_495,
        "unparsed": 0,
        "gaps": 0,
    }


def test_nothing_in_any_recording_of_our_venues_is_unreadable_or_ignored_but_acks(recordings, tmp_path):
    files = [file for venue in VENUES for file in sorted((recordings / "wss" / venue).iterdir())]
    assert len(files) >= 9

    for number, file in enumerate(files):
        summary = replay(file, "--out", tmp_path / str(number))

        name = f"{file.parent.name}/{file.name.partition('.')[0]}"
        assert (name, summary["unparsed"]) == (name, 0)
        assert (name, summary["ignored"]) == (name, ACKS_AND_HEARTBEATS.get(name, 0))


@pytest.mark.parametrize("interval", ["1s", "1m", "5m"])
def test_bars_equal_those_that_pandas_makes_of_the_trade_times(recordings, interval):
    pd = pytest.importorskip("pandas")
    file: Path = recordings / tape.CAPTURE
    lines = tape.read(file)
    public = [tape.payload(lines[at]) for at in tape.trades(lines)]
    frame = pd.DataFrame(
        {"price": [float(t["p"]) for t in public], "size": [float(t["q"]) for t in public]},
        index=pd.to_datetime([t["T"] for t in public], unit="ms", utc=True),
    )
    buckets = frame.resample(interval.replace("m", "min"))
    expected = buckets["price"].ohlc().assign(volume=buckets["size"].sum(), trades=buckets["price"].count())
    expected = expected[expected["trades"] > 0]

    said = argus("events", file, "--type", "Bar", "--interval", interval, "--json")

    assert said.code == 0
    bars = said.lines
    assert [bar["start_ns"] for bar in bars] == list(expected.index.as_unit("ns").asi8)
    for name in ("open", "high", "low", "close", "trades"):
        assert [bar[name] for bar in bars] == expected[name].tolist()
    assert [bar["volume"] for bar in bars] == pytest.approx(expected["volume"].tolist(), rel=1e-12)
    assert [bar["closed"] for bar in bars] == [True] * (len(bars) - 1) + [False]
    assert not any(bar["gap"] for bar in bars)


def test_several_intervals_at_once_are_the_same_bars_as_each_alone(recordings):
    file = recordings / tape.CAPTURE

    together = argus("events", file, "--type", "Bar", "--interval", "1m", "--interval", "5m", "--json").lines

    for interval in ("1m", "5m"):
        alone = argus("events", file, "--type", "Bar", "--interval", interval, "--json").lines
        assert [bar for bar in together if bar["interval_ns"] == alone[0]["interval_ns"]] == alone
