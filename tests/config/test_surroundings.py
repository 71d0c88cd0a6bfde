"""The names of older documents, where they were found, and what no variable can do."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from config.load import ConfigError, load
from config.schema import Config
from config.surroundings import Surroundings, notes
from daemon.cli import app, guarded

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "config" / "examples").glob("*.toml"))


def test_the_documented_names_of_limits_arrive_and_their_source_is_named(tmp_path):
    (tmp_path / ".env").write_text("RISK_MAX_NOTIONAL=500\nRISK_MAX_DD_BPS=400\n")
    environ = Surroundings({"RISK_MAX_REJECTS": "3", "RISK_STALE_DATA_THRESHOLD_S": "7.5"}, tmp_path)

    limits = load(None, [], environ).trading.limits

    assert (limits.max_notional, limits.max_drawdown_bps) == (Decimal(500), 400)
    assert (limits.max_consecutive_rejects, limits.stale_data_threshold_s) == (3, 7.5)
    assert "trading.limits.max_notional = 500 from RISK_MAX_NOTIONAL (.env)" in notes(environ)
    assert "trading.limits.max_consecutive_rejects = 3 from RISK_MAX_REJECTS (environment)" in notes(environ)


@pytest.mark.parametrize(
    ("name", "value", "meaning"),
    [
        ("MODE", "live", "no variable makes it trade live: paper"),
        ("MODE", "paper", ": paper"),
        ("PRIME_DRY_RUN", "0", "no variable makes it trade live: paper"),
        ("PRIME_DRY_RUN", "1", ": paper"),
        ("ARGUS_DRY_RUN", "1", ": paper"),
        ("ARGUS_MODE", "prime", "there is one engine"),
        ("ARGUS_STRATEGY_MODULE", "my.signals", "strategy my.signals:generate_intent"),
    ],
)
def test_what_older_names_mean_is_said(name, value, meaning):
    (said,) = notes({name: value})

    assert meaning in said
    assert "environment" in said


def test_a_cap_in_units_of_everything_is_refused_rather_than_guessed_at():
    with pytest.raises(ConfigError, match=r"RISK_MAX_POSITION.*symbol_position_limits"):
        load(None, [], {"RISK_MAX_POSITION": "0.5"})


@pytest.mark.parametrize(
    ("variable", "value", "file", "refused"),
    [
        ("RISK_MAX_NOTIONAL", "500", "", ""),
        ("RISK_MAX_NOTIONAL", "50000", "", "max_notional = 50000: looser than 10000"),
        ("RISK_MAX_NOTIONAL", "50000", "max_notional = 60000", ""),
        ("ARGUS__TRADING__LIMITS__ORDER_RATE__PER_S", "0.5", "", "order_rate.per_s = 0.5: looser than 1.0"),
        ("ARGUS__TRADING__LIMITS__ORDER_RATE__PER_S", "2", "", ""),
        ("ARGUS__TRADING__LIMITS__VERIFY_WALLET", "false", "verify_wallet = true", "verify_wallet = False: looser"),
        ("ARGUS__TRADING__LIMITS__MIN_EQUITY", "10", "min_equity = 20", "min_equity = 10: looser than 20"),
        ("ARGUS__TRADING__LIMITS__COOLDOWN_S", "60", "", ""),
        ("ARGUS__TRADING__LIMITS__STRESS", "0.01", "", "stress = 0.01: looser"),
        (
            "ARGUS__TRADING__LIMITS__SYMBOL_POSITION_LIMITS",
            '{"binance:BTC/USDT" = 2}',
            'symbol_position_limits = {"binance:BTC/USDT" = 1}',
            "looser than 1",
        ),
    ],
)
def test_under_run_variables_tighten_limits_and_never_loosen_them(variable, value, file, refused, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(f"[trading.limits]\n{file}\n")

    load(path, [], {variable: value})
    if refused:
        with pytest.raises(ConfigError, match=refused):
            load(path, [], {variable: value}, only_tighter=True)
    else:
        load(path, [], {variable: value}, only_tighter=True)


def test_every_fault_is_named_at_once(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[trading.limits]\nmax_notinal = 3\nmax_open_orders = -1\n")
    environ = {"ARGUS_TRADING__SEED": "1", "ARGUS__TRADING__SED": "1", "MODE": "both"}

    with pytest.raises(ConfigError) as refused:
        load(path, ["limits"], environ)

    lines = str(refused.value).splitlines()
    for words in (
        "max_notinal",
        "max_open_orders",
        "ARGUS_TRADING__SEED",
        "ARGUS__TRADING__SED",
        "MODE",
        "--set limits",
    ):
        assert any(words in line for line in lines), words


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_used(path):
    assert load(path, [], {}).trading.cash


def test_agents_side_by_side_share_no_folder():
    spot, futures = (load(path, [], {}).process for path in EXAMPLES if path.stem != "everything")

    assert {spot.out_dir, spot.state_dir, spot.kill_file}.isdisjoint(
        {futures.out_dir, futures.state_dir, futures.kill_file}
    )


def test_the_schema_for_editors_knows_every_setting_and_refuses_others(capsys):
    assert guarded(lambda: app(["config", "schema"])) == 0

    said = json.loads(capsys.readouterr().out)
    assert set(said["properties"]) == set(Config.model_fields)
    limits = said["$defs"]["Limits"]
    assert limits["additionalProperties"] is False
    assert "in quote units" in limits["properties"]["max_notional"]["description"]


def test_an_example_printed_is_the_example(capsys):
    assert guarded(lambda: app(["config", "example"])) == 0

    assert capsys.readouterr().out == next(p for p in EXAMPLES if p.stem == "everything").read_text()
    assert guarded(lambda: app(["config", "example", "../schema"])) == 2
