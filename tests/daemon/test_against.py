"""Two sessions of one market side by side: what is alike, what only one of them has, and the model that differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bus.clock import SECOND
from daemon import app
from daemon.reading.against import Comparison, compare, document, lines
from daemon.replay import run_async
from daemon.session import Session
from feeds.frames import RecordingWriter
from tests.daemon.live_world import START_NS, Market

INSTANT = ("venue.entry.model=fixed", "venue.slippage.model=last_price")
LATER = ("venue.entry.model=fixed", "venue.entry.ms=500", "venue.slippage.model=last_price")
WALKED = ("venue.entry.model=fixed",)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "market.jsonl.zst"
    with RecordingWriter(path) as writer:
        for item in Market(60).lines():
            writer.write(item)
    return path


def session(recording: Path, out: Path, *overrides: str) -> Session:
    request = app.Request(
        [recording],
        ["ema_cross", "momentum"],
        [{"fast": 2, "slow": 4}, {"fast": 2, "slow": 3}],
        intervals=["1s"],
        overrides=list(overrides),
        out=out,
    )
    result: app.Result = run_async(app.replay(request))
    return result.session


def of(recording: Path, folder: Path, one: tuple[str, ...], other: tuple[str, ...]) -> Comparison:
    return compare(session(recording, folder / "one", *one), session(recording, folder / "other", *other))


def test_the_same_twice_is_the_same(recording: Path, tmp_path: Path) -> None:
    found = of(recording, tmp_path, INSTANT, INSTANT)

    assert found.same
    assert (found.models, found.alone) == ({}, {})
    assert list(found.fills) == ["the same"]
    assert lines(found)[0].startswith("one against other: the same; ")
    assert document(found)["together"] == found.decisions[0] == found.decisions[1] > 2


@pytest.mark.parametrize(
    ("other", "models", "why"),
    [
        (LATER, ["entry"], "entry latency"),
        (WALKED, ["slippage"], "matched against book by LastPrice here, book by WalkTheBook there"),
    ],
)
def test_what_did_not_fill_alike_is_put_down_to_the_model_that_differs(
    other: tuple[str, ...], models: list[str], why: str, recording: Path, tmp_path: Path
) -> None:
    found = of(recording, tmp_path, INSTANT, other)

    assert not found.same
    assert list(found.models) == models
    assert set(found.fills) <= {why, "the same"}
    assert found.fills[why] > 2
    assert any(line.endswith(f"fills of decisions: {why}") for line in lines(found))


def test_who_began_later_warmed_up_on_less_and_who_ended_sooner_was_still_forming(
    recording: Path, tmp_path: Path
) -> None:
    whole = session(recording, tmp_path / "whole", *INSTANT)
    short = tmp_path / "short.jsonl.zst"
    with RecordingWriter(short) as writer:
        for item in Market(60).lines(START_NS + 20 * SECOND):
            if (item.ts or 0) < START_NS + 28 * SECOND:
                writer.write(replace(item))
    cut = session(short, tmp_path / "cut", *INSTANT)

    found = compare(whole, cut)

    assert {"before cut began: it warmed up on less", "after cut ended: its last bar was still forming"} <= set(
        found.alone
    )
    assert found.together < found.decisions[0]
