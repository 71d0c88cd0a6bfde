"""Draws: each belongs to one purpose and one key, and to nobody's order of asking."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.rng import Draws

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (
    "from bus.rng import Draws; d = Draws(7);"
    "print(repr(d.uniform('latency.entry', 'a-1')), repr(d.normal('slip', 'a-1')), repr(Draws(-1).uniform('x', 'é')))"
)
KNOWN = "0.07974976578668858 -1.3254493520806712 0.37271805078123366"


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_the_same_names_give_the_same_numbers_in_every_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == KNOWN


names = st.text(max_size=12)
keys = st.lists(st.tuples(names, names), min_size=1, max_size=20, unique=True)


@pytest.mark.property
@given(st.integers(-(2**63), 2**63 - 1), keys, st.randoms(use_true_random=False))
def test_a_draw_does_not_depend_on_who_else_asked_or_when(seed, keys, shuffler) -> None:
    alone = {key: Draws(seed).uniform(*key) for key in keys}
    together = Draws(seed)
    shuffled = keys * 2
    shuffler.shuffle(shuffled)

    assert all(together.uniform(*key) == alone[key] for key in shuffled)
    assert all(0.0 <= draw < 1.0 for draw in alone.values())


def test_uniform_draws_look_uniform() -> None:
    draws = Draws(7)

    sample = [draws.uniform("test", str(n)) for n in range(20_000)]

    assert statistics.fmean(sample) == pytest.approx(1 / 2, abs=0.01)
    assert statistics.variance(sample) == pytest.approx(1 / 12, abs=0.002)
    assert min(sample) < 0.001
    assert max(sample) > 0.999


def test_normal_draws_look_normal() -> None:
    draws = Draws(7)

    sample = [draws.normal("test", str(n)) for n in range(20_000)]

    assert statistics.fmean(sample) == pytest.approx(0.0, abs=0.03)
    assert statistics.variance(sample) == pytest.approx(1.0, abs=0.05)
    assert sum(abs(draw) < 1 for draw in sample) / len(sample) == pytest.approx(0.6827, abs=0.01)


def test_seeds_purposes_and_keys_are_strangers_to_each_other() -> None:
    draws = [
        Draws(seed).uniform(purpose, key)
        for seed in range(-20, 20)
        for purpose in ("a", "b")
        for key in ("1", "2", "12")
    ]

    assert len(set(draws)) == len(draws)


def test_the_line_between_purpose_and_key_matters() -> None:
    assert Draws(1).uniform("ab", "c") != Draws(1).uniform("a", "bc")
