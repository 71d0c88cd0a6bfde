"""Where settings come from, which of them wins, and what is said when one cannot be used."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.values import FeeAsset, Instrument, Kind
from config.load import ConfigError, known_instruments, load
from config.schema import Config, FixedLatency, InstrumentTerms, Trading, UniformLatency, canonical

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "examples" / "everything.toml"


def toml(folder: Path, text: str) -> Path:
    path = folder / "argus.toml"
    path.write_text(text, "utf-8")
    return path


def refusal(path: Path | None = None, overrides=(), environ=None) -> str:
    with pytest.raises(ConfigError) as raised:
        load(path, overrides, environ or {})
    return str(raised.value)


def test_nothing_said_gives_the_defaults():
    assert load(None, [], {}) == Config()


def test_the_example_loads_and_equals_the_defaults():
    assert load(EXAMPLE, [], {}) == Config()


def test_the_examples_of_what_has_no_default_load_as_well(tmp_path):
    lines = EXAMPLE.read_text("utf-8").splitlines()
    uncommented = [line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines]

    config = load(toml(tmp_path, "\n".join(uncommented)), [], {})

    assert config.trading.limits.symbol_position_limits == {"binance:BTC/USDT": Decimal("0.5")}
    assert config.trading.strategies[0].params == {"fast": 10, "slow": 30}
    assert config.trading.instruments[0].lot == Decimal("1e-9")
    assert config.process.tables[0].interval == "1h"


def test_the_example_names_every_setting():
    def names(values):
        for key, value in values.items():
            yield from names(value) if isinstance(value, dict) else [key]

    text = EXAMPLE.read_text("utf-8")

    assert [name for name in names(Config().model_dump()) if f"{name} =" not in text and f"{name}]" not in text] == []


def test_set_beats_the_environment_which_beats_the_file_which_beats_the_defaults(tmp_path):
    path = toml(tmp_path, "[trading.limits]\nmax_notional = 1\nmax_position = 1\nmax_open_orders = 1")
    environ = {"ARGUS__TRADING__LIMITS__MAX_NOTIONAL": "2", "ARGUS__TRADING__LIMITS__MAX_POSITION": "2"}

    limits = load(path, ["limits.max_notional=3"], environ).trading.limits

    assert [limits.max_notional, limits.max_position, limits.max_open_orders] == [3, 2, 1]
    assert limits.max_consecutive_rejects == 5


def test_the_last_of_two_sets_wins():
    assert load(None, ["seed=1", "trading.seed=2"], {}).trading.seed == 2


def test_argus_config_names_the_file_unless_the_command_line_does(tmp_path):
    (other := tmp_path / "other.toml").write_text("[trading]\nseed = 1")
    path = toml(tmp_path, "[trading]\nseed = 2")

    assert load(None, [], {"ARGUS_CONFIG": str(other)}).trading.seed == 1
    assert load(path, [], {"ARGUS_CONFIG": str(other)}).trading.seed == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limits.max_notional=0.1", Decimal("0.1")),
        ("trading.limits.max_notional = 1e3", Decimal(1000)),
        ("limits.max_notional=1_000.000000000000000001", Decimal("1000.000000000000000001")),
        ("limits.max_notional='0.30'", Decimal("0.3")),
    ],
)
def test_money_never_passes_through_binary_float(tmp_path, text, expected):
    assert load(None, [text], {}).trading.limits.max_notional == expected


def test_money_in_a_table_given_by_the_environment_is_exact():
    environ = {"ARGUS__TRADING__CASH": '{USDT = 0.1, BTC = "0.2"}', "ARGUS__TRADING__CASH__EUR": "0.3"}

    assert load(None, [], environ).trading.cash == {
        "USDT": Decimal("0.1"),
        "BTC": Decimal("0.2"),
        "EUR": Decimal("0.3"),
    }


def test_naming_any_cash_replaces_the_default():
    assert load(None, ["cash.USD=5"], {}).trading.cash == {"USD": 5}


def test_set_beats_the_environment_in_a_table_with_open_keys():
    assert load(None, ["cash.USDT=2"], {"ARGUS__TRADING__CASH__USDT": "1"}).trading.cash == {"USDT": 2}


def test_lists_and_tables_can_be_set_in_toml():
    overrides = ['bars.intervals=["1s", "5m"]', 'strategies=[{use = "my/trend.py", params = {fast = 5, gain = 0.5}}]']

    trading = load(None, overrides, {"ARGUS__PROCESS__LOGGING__LEVEL": "debug"}).trading

    assert trading.bars.intervals == ["1s", "5m"]
    assert trading.strategies[0].name == "trend"
    assert trading.strategies[0].params == {"fast": 5, "gain": 0.5}
    assert type(trading.strategies[0].params["gain"]) is float


def test_a_parameter_of_a_default_model_needs_no_model_named():
    assert load(None, ["venue.entry.low_ms=20"], {}).trading.venue.entry == UniformLatency(low_ms=20, high_ms=200)
    environ = {"ARGUS__TRADING__VENUE__ACK__MS": "7"}
    assert load(None, [], environ).trading.venue.ack == FixedLatency(ms=7)


def test_naming_another_model_forgets_the_parameters_of_the_first(tmp_path):
    path = toml(tmp_path, '[trading.venue.entry]\nmodel = "uniform"\nlow_ms = 1\nhigh_ms = 2')

    venue = load(path, ["venue.entry.model=fixed", "venue.entry.ms=3"], {}).trading.venue

    assert venue.entry == FixedLatency(ms=3)


@pytest.mark.parametrize(
    "overrides", [["venue.entry.model=fixed", "venue.entry.ms=3"], ["venue.entry.ms=3", "venue.entry.model=fixed"]]
)
def test_a_model_and_its_parameters_may_be_named_in_any_order(tmp_path, overrides):
    path = toml(tmp_path, '[trading.venue.entry]\nmodel = "uniform"\nlow_ms = 1\nhigh_ms = 2')

    assert load(path, overrides, {}).trading.venue.entry.model_dump() == {"model": "fixed", "ms": 3.0}


def test_naming_the_model_that_confirms_leaves_what_it_has_to_reach(tmp_path):
    path = toml(tmp_path, "[trading.confirmation]\nconf_min = 0.7")

    assert load(path, ["confirmation.model=external"], {}).trading.confirmation.conf_min == 0.7


def test_the_order_of_the_environment_does_not_matter():
    variables = [
        ("ARGUS__TRADING__CASH", "{USDT = 1, BTC = 2}"),
        ("ARGUS__TRADING__CASH__EUR", "3"),
        ("ARGUS__TRADING__LIMITS__MAX_NOTIONAL", "4"),
        ("ARGUS__TRADING__SEED", "5"),
        ("PATH", "/bin"),
    ]
    expected = load(None, [], dict(variables))
    for seed in range(10):
        random.Random(seed).shuffle(variables)
        assert load(None, [], dict(variables)) == expected


# --- refusals --------------------------------------------------------------------------------------------------


def test_a_refusal_names_the_file_the_setting_the_value_what_is_allowed_and_what_to_do(tmp_path):
    path = toml(tmp_path, "[trading.limits]\nmax_notional = -5")

    assert refusal(path) == (
        f"{path}: trading.limits.max_notional = -5: must be greater than 0 "
        "(largest notional of one order, in quote units); correct it, or leave it out for the default 10000"
    )


def test_every_fault_is_named_at_once(tmp_path):
    path = toml(tmp_path, "[trading]\nseed = -1\n[trading.limits]\nmax_position = 0\nmax_open_orders = 0")

    text = refusal(path, ["bars.empty=full"], {"ARGUS__PROCESS__LOGGING__LEVEL": "loud"})

    assert len(text.splitlines()) == 5


def test_a_fault_is_blamed_on_the_source_whose_value_won(tmp_path):
    path = toml(tmp_path, "[trading]\nseed = 1")

    assert refusal(path, ["seed=-1"]).startswith("--set seed=-1: trading.seed = -1:")
    environ = {"ARGUS__TRADING__SEED": "-1"}
    assert refusal(path, [], environ).startswith("environment, ARGUS__TRADING__SEED: trading.seed = '-1':")


def test_toml_that_does_not_parse_names_the_line(tmp_path):
    text = refusal(toml(tmp_path, "[trading]\nseed = 1\nseed = \n"))

    assert "argus.toml: is not TOML" in text
    assert "line 3" in text


@pytest.mark.parametrize(
    ("content", "word"), [(b"\xff\xfe[trading]", "UTF-8"), (b"[trading]\nseed = 1\nseed = 2\n", "overwrite a value")]
)
def test_a_file_that_is_not_toml_is_refused(tmp_path, content, word):
    (path := tmp_path / "argus.toml").write_bytes(content)

    assert word in refusal(path)


def test_a_byte_order_mark_is_read_past(tmp_path):
    (path := tmp_path / "argus.toml").write_bytes(b"\xef\xbb\xbf[trading]\nseed = 1")

    assert load(path, [], {}).trading.seed == 1


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    assert str(tmp_path / name) in refusal(tmp_path / name)
    assert "cannot be read" in refusal(None, [], {"ARGUS_CONFIG": str(tmp_path / name)})


@pytest.mark.parametrize(
    ("story", "override", "suggestion"),
    [
        ("a misspelt key", "limits.max_notionl=5", "did you mean max_notional?"),
        ("a misspelt unit", "limits.stale_data_threshold_ms=5", "did you mean stale_data_threshold_s?"),
        ("a misspelt table", "limit.max_notional=5", "did you mean limits?"),
        ("another model's parameter", "venue.ack.low_ms=5", "the settings here are model, ms"),
        ("a misspelt parameter", "venue.entry.lo_ms=5", "did you mean low_ms?"),
        ("a made-up setting", "colour=blue", "the settings here are asset, cash, seed"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_suggested(story, override, suggestion):
    text = refusal(None, [override])

    assert "there is no such setting" in text, story
    assert suggestion in text, story


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("ARGUS__TRADNG__SEED", "did you mean trading?"),
        ("ARGUS__SEED", "there is no such setting"),
        ("ARGUS__TRADING__SEEED", "did you mean seed?"),
        ("ARGUS__TRADING__SEED__X", "trading.seed"),
        ("ARGUS_TRADING__SEED", "two underscores"),
        ("ARGUS_TRADING_SEED", "two underscores"),
        ("ARGUS__TRADING__LIMITS__SYMBOL_POSITION_LIMITS__binance:BTC/USDT", "set the table"),
    ],
)
def test_a_misspelt_variable_is_refused_rather_than_ignored(name, word):
    text = refusal(None, [], {name: "1"})

    assert name.partition("__X")[0] in text
    assert word in text


def test_a_variable_hidden_by_another_is_refused():
    assert "ARGUS__TRADING__SEED__X" in refusal(None, [], {"ARGUS__TRADING__SEED": "1", "ARGUS__TRADING__SEED__X": "2"})


@pytest.mark.parametrize("override", ["seed", "=5", "limits..max_notional=5", ".seed=1", ""])
def test_an_override_that_is_no_key_and_value_is_refused(override):
    assert "must be key=value" in refusal(None, [override])


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("venue.slippage.model=magic", "must be one of 'walk_the_book'"),
        ("venue.slippage.model=spread_plus_impact", "trading.venue.slippage.half_spread_bps: is missing"),
        ("venue.entry=fast", "must be a table"),
        ("limits=5", "must be a table"),
        ("bars.intervals=1m", "must be a list"),
        ("venue.entry.high_ms=5", "low_ms 50 must not be above high_ms 5"),
        ("process.tables=[{columns = {ts = []}}]", "process.tables[0].columns.ts = []: must be"),
        ("strategies=[{params = {}}]", "trading.strategies[0].use: is missing"),
    ],
)
def test_a_wrong_shape_is_refused_with_the_right_one(override, word):
    assert word in refusal(None, [override])


# --- the built-in instruments ----------------------------------------------------------------------------------


def test_the_terms_of_an_instrument_mirror_the_instrument_field_for_field():
    assert tuple(InstrumentTerms.model_fields) == Instrument.__struct_fields__
    optional = Instrument.__struct_fields__[-len(Instrument.__struct_defaults__) :]
    bare = InstrumentTerms(name="x:A/B", symbol="AB", base="A", quote="B", settle="B")
    assert msgspec.convert(bare.row(), Instrument) == Instrument("x:A/B", "AB", "A", "B", "B")
    assert set(optional) == {name for name, field in InstrumentTerms.model_fields.items() if not field.is_required()}


def test_what_is_traded_by_the_unit_has_no_contracts(tmp_path):
    words = 'name = "v:A/B"\nsymbol = "AB"\nbase = "A"\nquote = "B"\nsettle = "B"\nmultiplier = 10\nkind = '
    terms = f"[[trading.instruments]]\n{words}"

    with pytest.raises(ConfigError, match="its multiplier is 1"):
        load(toml(tmp_path, terms + '"spot"'), [], {})
    assert load(toml(tmp_path, terms + '"linear"'), [], {}).trading.instruments[0].multiplier == 10


def test_the_built_in_instruments_become_instruments():
    table = {i.name: i for i in (msgspec.convert(terms.row(), Instrument) for terms in known_instruments())}

    assert set(table) == {
        "binance:BTC/USDT",
        "binance:ETH/USDT",
        "binanceusdm:BTC/USDT:USDT",
        "binancecoinm:BTC/USD:BTC",
        "coinbase:BTC/USD",
        "coinbase:ETH/USD",
        "coinbaseexchange:BTC/USD",
    }
    assert table["binance:BTC/USDT"].lot == Decimal("0.00001")
    assert table["binance:BTC/USDT"].fee_asset is FeeAsset.RECEIVED
    inverse = table["binancecoinm:BTC/USD:BTC"]
    assert [inverse.kind, inverse.multiplier, inverse.lot, inverse.settle] == [Kind.INVERSE, 100, 1, "BTC"]
    assert len({(i.venue, i.symbol) for i in table.values()}) == len(table)


def test_an_instrument_of_the_users_replaces_the_built_in_one_of_its_name():
    mine = InstrumentTerms(
        name="binance:BTC/USDT", symbol="BTCUSDT", base="BTC", quote="USDT", settle="USDT", min_notional=Decimal(10)
    )
    new = InstrumentTerms(name="kraken:BTC/USD", symbol="XBT/USD", base="BTC", quote="USD", settle="USD")

    table = {terms.name: terms for terms in known_instruments([mine, new])}

    assert len(table) == len(known_instruments()) + 1
    assert table["binance:BTC/USDT"] == mine
    assert table["kraken:BTC/USD"] == new


# --- cost ------------------------------------------------------------------------------------------------------


def test_pydantic_settings_is_imported_only_when_a_variable_is_set():
    code = (
        "import sys; from config.load import load; load(None, ['seed=1'], {'PATH': ''});"
        "assert 'pydantic_settings' not in sys.modules;"
        "load(None, [], {'ARGUS__TRADING__SEED': '1'}); assert 'pydantic_settings' in sys.modules"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_schema_imports_nothing_heavy():
    code = (
        "import sys, config.schema;"
        "heavy = {'pydantic_settings', 'numpy', 'pandas', 'asyncio', 'msgspec', 'bus'} & set(sys.modules);"
        "assert not heavy, heavy"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def paths(values: dict[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from paths(value, f"{above}{key}.")


SETTINGS = sorted(paths(Config().model_dump()))
VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["nan", "-inf", "1e400", "[]", "{}", "[[]]", "[{}]", "{a = 1}", "2026-01-05", "true", "1", "0x"]),
    st.decimals().map(str),
    st.sampled_from(SETTINGS).map(lambda path: f"{{{path.rpartition('.')[2]} = [1]}}"),
)


@pytest.mark.property
@given(st.lists(st.tuples(st.sampled_from(SETTINGS), VALUES), min_size=1, max_size=3))
def test_whatever_is_given_is_either_taken_or_refused_in_our_own_words(wishes):
    overrides = [f"{path}={value}" for path, value in wishes]
    environ = {f"ARGUS__{path.replace('.', '__').upper()}": value for path, value in wishes}

    assert "pydantic" not in (said := outcome(overrides, {}) + outcome([], environ))
    assert "Input" not in said


def outcome(overrides: list[str], environ: dict[str, str]) -> str:
    """The words of the refusal, or none for settings whose canonical form stands for them."""
    try:
        trading = load(None, overrides, environ).trading
    except ConfigError as error:
        return str(error)
    assert Trading(**canonical(trading)) == trading
    return ""


def test_the_documented_names_of_the_regime_are_heard_and_ours_go_before_them(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[trading.regime]\nema_fast = 5\nvol_lo = 0.001\n")
    environ = {"REGIME_EMA_FAST": "9", "REGIME_VOL_HI": "0.03", "ARGUS__TRADING__REGIME__VOL_HI": "0.031"}

    regime = load(file, [], environ).trading.regime

    assert (regime.ema_fast, regime.vol_lo, regime.vol_hi) == (9, 0.001, 0.031)


def test_a_bad_one_is_named_as_it_was_written():
    said = outcome([], {"REGIME_EMA_FAST": "fast"})

    assert said.startswith("environment, REGIME_EMA_FAST: trading.regime.ema_fast = 'fast': must be")
    assert "must be below ema_slow 10" in outcome([], {"REGIME_EMA_SLOW": "10"})
    assert "vol_lo 0.5 must be below vol_hi 0.025" in outcome(["regime.vol_lo=0.5"], {})


def test_a_strategy_named_in_the_environment_runs_where_the_file_names_none(tmp_path):
    environ = {"ARGUS_STRATEGY_MODULE": "research.strategies.sg_vol_probe_v1"}
    file = tmp_path / "c.toml"
    file.write_text('[[trading.strategies]]\nuse = "rsi"\n')

    (alone,) = load(None, [], environ).trading.strategies
    (beside,) = load(file, [], {**environ, "ARGUS_STRATEGY_FUNC": "other"}).trading.strategies

    assert (alone.use, alone.name) == ("research.strategies.sg_vol_probe_v1:generate_intent", "sg_vol_probe_v1")
    assert beside.use == "rsi"
    assert load(None, [], {**environ, "ARGUS_STRATEGY_FUNC": "other"}).trading.strategies[0].use.endswith(":other")
