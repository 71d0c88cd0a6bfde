"""What a mistake is worth: one line that says what to mend, an exit code of its own, and never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import tape
from tests.acceptance.command import argus

CLEAN, ERROR, USAGE, CONFIG = 0, 1, 2, 4


@pytest.fixture(scope="module")
def recording(tmp_path_factory, market) -> Path:
    return tape.write(tmp_path_factory.mktemp("market") / "a.jsonl", market[:600])


@pytest.fixture(scope="module")
def session(tmp_path_factory, recording) -> Path:
    out = tmp_path_factory.mktemp("done") / "session"
    assert argus("replay", recording, "--out", out).code == CLEAN
    return Path(out)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        pytest.param(b"", "a.jsonl", id="empty"),
        pytest.param(b"", "a.jsonl.zst", id="empty, by its name compressed"),
        pytest.param(b"\n\n\n", "a.jsonl", id="only line ends"),
        pytest.param(b"hello\nworld\n" * 3_000, "a.jsonl", id="text"),
        pytest.param(bytes(range(256)) * 500, "a.jsonl.zst", id="binary"),
        pytest.param(b'{"a":1}\n{"b":2}\n', "a.jsonl", id="other JSON"),
        pytest.param(b"\x28\xb5\x2f\xfd damaged from the start", "a.jsonl.zst", id="a broken compressed file"),
        pytest.param(b"a,b\n1,2\n", "a.csv", id="another table"),
        pytest.param(b"", "a.csv", id="an empty table"),
        pytest.param(b"PAR1 and no more", "a.parquet", id="a broken Parquet file"),
    ],
)
@pytest.mark.parametrize("command", ["replay", "events"])
def test_an_empty_or_foreign_file_is_an_error(tmp_path, content, name, command):
    path = tmp_path / name
    path.write_bytes(content)
    words = ("--out", tmp_path / "session") if command == "replay" else ()

    said = argus(command, path, *words)

    assert said.code == ERROR
    assert str(path) in said.err
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(("--strategy", "ema_kross"), "did you mean ema_cross", id="unknown strategy"),
        pytest.param(("--strategy", "no.such:Thing"), "no.such", id="unknown module"),
        pytest.param(("--strategy", "strategies.stub:Nothing"), "Nothing", id="unknown name in a module"),
        pytest.param(("--strategy", "mine.py"), "no such file", id="absent strategy file"),
        pytest.param(("--strategy", "ema_cross", "--params", "fats=3"), "did you mean fast", id="unknown parameter"),
        pytest.param(("--strategy", "ema_cross", "--params", "fast=often"), "fast", id="parameter of another type"),
        pytest.param(
            ("--strategy", "ema_cross", "--params", "fast=9,slow=3"), "slow=3", id="parameters that contradict"
        ),
        pytest.param(("--strategy", "ema_cross", "--params", "fast"), "'='", id="parameter without a value"),
        pytest.param(("--strategy", "ema_cross", "--params", "fast=2,fast=3"), "twice", id="one parameter twice"),
        pytest.param(("--venue", "binanace"), "binancecoinm", id="unknown venue"),
        pytest.param(("--strategy", "ema_cross", "--params", "{fast:1"), "not JSON", id="parameters almost JSON"),
        pytest.param(("--strategy", "ema_cross", "--params", '{"fast":[1]}'), "fast", id="a list for a number"),
        pytest.param(("--strategy", "stub", "--params", "a=1"), "a", id="parameters of a strategy without any"),
        pytest.param(("--params", "a=1", "--params", "b=2"), "--params", id="parameters of no strategy"),
        pytest.param(("--speed", "fast"), "--speed", id="speed in words"),
        pytest.param(("--speed", "0"), "--speed", id="no speed"),
        pytest.param(("--speed", "-1"), "--speed", id="backwards"),
        pytest.param(("--speed", "nan"), "--speed", id="not a number"),
        pytest.param(("--speed", "inf"), "--speed", id="infinite speed"),
        pytest.param(("--sped", "1"), "--sped", id="unknown option"),
        pytest.param(("--seed", "lucky"), "--seed", id="seed in words"),
        pytest.param(("--interval", "1x"), "1x", id="interval in an unknown unit"),
        pytest.param(("--interval", "0s"), "0s", id="interval of nothing"),
        pytest.param(("--seed", "-1"), "seed", id="negative seed"),
        pytest.param(("--interval", "1m", "--interval", "60s"), "each length once", id="one interval twice"),
        pytest.param(("elsewhere.jsonl",), "elsewhere.jsonl", id="a second file that is not there"),
    ],
)
def test_what_cannot_be_asked_for_is_a_usage_error(recording, tmp_path, words, told):
    said = argus("replay", recording, *words, "--out", tmp_path / "session")

    assert said.code == USAGE
    assert told in said.err
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(("--set", "limits.max_notional=lots"), "max_notional", id="bad value"),
        pytest.param(("--set", "limits.max_notional=-1"), "max_notional", id="out of bounds"),
        pytest.param(("--set", "limits.max_notonal=5"), "did you mean max_notional", id="unknown key"),
        pytest.param(("--set", "limits"), "key=value", id="no value"),
        pytest.param(("--set", "venue.entry.model=teleport"), "uniform", id="unknown model"),
        pytest.param(("--set", "cash.USDT=nan"), "cash", id="cash that is no number"),
        pytest.param(("--config", "absent.toml"), "absent.toml", id="absent config"),
    ],
)
def test_a_bad_setting_is_a_config_error(recording, tmp_path, words, told):
    said = argus("replay", recording, *words, "--out", tmp_path / "session")

    assert said.code == CONFIG
    assert told in said.err
    assert not (tmp_path / "session").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[trading.limits]\nmax_notional = 0\n", "max_notional", id="bad value"),
        pytest.param("[trading]\nleverage = 100\n", "leverage", id="unknown key"),
        pytest.param("[trading\n", "TOML", id="not TOML"),
    ],
)
def test_a_bad_config_file_is_a_config_error(recording, tmp_path, text, told):
    config = tmp_path / "argus.toml"
    config.write_text(text)

    said = argus("replay", recording, "--config", config, "--out", tmp_path / "session")

    assert (said.code, told in said.err, str(config) in said.err) == (CONFIG, True, True)


def test_an_absent_recording_is_a_usage_error(tmp_path):
    for words in (("replay",), ("events",)):
        said = argus(*words, tmp_path / "absent.jsonl")

        assert (said.code, "absent.jsonl" in said.err) == (USAGE, True)


def test_a_recording_whose_venue_nobody_knows_is_a_usage_error(tmp_path):
    path = tape.write(tmp_path / "a.jsonl", [b'{"ts":1,"conn":"x","raw":"[1]"}'])

    said = argus("replay", path, "--out", tmp_path / "session")

    assert (said.code, "--venue" in said.err) == (USAGE, True)


def test_an_unknown_venue_is_a_usage_error(tmp_path):
    path = tape.write(tmp_path / "a.jsonl", [b'{"ts":1,"conn":"x","raw":"[1]"}'])

    said = argus("replay", path, "--venue", "nasdaq", "--out", tmp_path / "session")

    assert (said.code, "nasdaq" in said.err) == (USAGE, True)


@pytest.mark.parametrize(("words", "told"), [(("--type", "Trades"), "Trade"), (("--interval", "1x"), "1x")])
def test_what_events_cannot_be_asked_for_is_a_usage_error(recording, words, told):
    said = argus("events", recording, *words)

    assert (said.code, told in said.err) == (USAGE, True)


def test_a_session_is_never_written_over(recording, session):
    before = (session / "manifest.json").read_bytes()

    said = argus("replay", recording, "--out", session)

    assert (said.code, "already holds a session" in said.err) == (ERROR, True)
    assert (session / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("command", ["verify", "journal", "export", "report"])
def test_what_is_not_a_session_is_an_error(tmp_path, command):
    said = argus(command, tmp_path)

    assert (said.code, "not a session" in said.err) == (ERROR, True)


def test_a_record_type_that_there_is_not_is_a_usage_error(session):
    said = argus("journal", session, "--type", "OrderFiled")

    assert (said.code, "OrderFilled" in said.err, said.out) == (USAGE, True, "")


def test_verify_wants_as_many_files_as_the_session_read(recording, session):
    said = argus("verify", session, "--data", recording, "--data", recording)

    assert (said.code, "--data" in said.err) == (USAGE, True)


def test_an_unknown_command_and_no_command_are_usage_errors():
    assert argus("replya").code == USAGE
    assert argus().code == USAGE


def test_help_is_not_an_error():
    said = argus("--help")

    assert said.code == CLEAN
    assert {"replay", "verify", "journal", "export", "events", "report", "doctor", "demo"} <= set(said.out.split())
