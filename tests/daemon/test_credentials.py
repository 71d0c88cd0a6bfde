"""Secrets are found in the safest place that has them, and show in nothing we write."""

from __future__ import annotations

import sys
import types
from functools import partial
from pathlib import Path

import pytest

from config.load import ConfigError
from config.surroundings import Surroundings
from daemon.cli import app, guarded
from daemon.log import RunLog
from daemon.setup import credentials
from daemon.setup.credentials import REDACTED, Secret, find, redact

CANARY = "canary-4be1-do-not-sing"


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(credentials, "_known", set())


def test_systemd_goes_before_the_keyring_the_file_and_the_environment(tmp_path, monkeypatch):
    (tmp_path / "COINBASE_API_KEY").write_text("of-systemd\n")
    private = tmp_path / "secrets"
    private.write_text("# mine\nCOINBASE_API_KEY = of-file\n")
    private.chmod(0o600)
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "ARGUS_SECRETS_FILE": str(private),
        "COINBASE_API_KEY": "of-environment",
    }
    keyring = types.ModuleType("keyring")
    keyring.get_password = lambda service, name: f"of-{service}-keyring"  # type: ignore[attr-defined]
    keyring.errors = types.SimpleNamespace(KeyringError=RuntimeError)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", keyring)

    def told() -> str:
        found = find("COINBASE_API_KEY", environ)
        assert found is not None
        return found.reveal()

    assert told() == "of-systemd"
    del environ["CREDENTIALS_DIRECTORY"]
    assert told() == "of-argus-keyring"
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert told() == "of-file"
    del environ["ARGUS_SECRETS_FILE"]
    assert told() == "of-environment"
    assert find("COINBASE_API_KEY", environ, live=True) is None, "the environment is for paper only"


def test_a_file_that_others_can_read_is_refused(tmp_path):
    loose = tmp_path / "secrets"
    loose.write_text(f"X={CANARY}\n")
    loose.chmod(0o640)

    with pytest.raises(ConfigError, match="chmod 600") as refused:
        find("X", {"ARGUS_SECRETS_FILE": str(loose)})
    assert CANARY not in str(refused.value)


def test_a_secret_shows_itself_only_when_asked():
    secret = Secret(CANARY, "a test")

    assert CANARY not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == CANARY
    assert redact(f"GET /?key={CANARY}&x=1") == f"GET /?key={REDACTED}&x=1"


@pytest.mark.parametrize(
    ("address", "said", "kept"),
    [
        (
            "tgram://123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K/987654321",
            "POST /bot123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K/sendMessage",
            "sendMessage",
        ),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "hooks: /A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "hooks"),
        (
            "https://push.example.com/send?token=s3cr3t-t0k3n",
            "push.example.com refused token s3cr3t-t0k3n",
            "push.example",
        ),
    ],
)
def test_a_token_is_not_shown_without_the_address_it_came_in(address, said, kept):
    Secret(f"json://elsewhere {address}", "a test")

    shown = redact(said)

    assert REDACTED in shown
    assert kept in shown
    assert not any(
        part in shown
        for part in ("AAEhBOweik6ad9r_QXMENQjcrGbqCr4K", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ", "s3cr3t-t0k3n")
    )


def test_the_log_of_a_session_holds_no_canary(tmp_path):
    Secret(CANARY, "a test")
    log = RunLog(tmp_path, "INFO")

    log.event("error", "part.failed", where=f"https://venue/?signature={CANARY}", exc_info=ValueError(CANARY))
    log.close()

    written = (tmp_path / "run.log").read_text()
    assert REDACTED in written
    assert CANARY not in written


def test_no_command_shows_the_canary_of_the_environment_or_the_dotenv(outside, monkeypatch, capsys):
    (outside / ".env").write_text(f"COINBASE_API_SECRET={CANARY}\nARGUS_NOTIFY_URLS=json://{CANARY}\n")
    monkeypatch.setenv("COINBASE_API_KEY", CANARY + "2")

    for words in (
        ["config", "show"],
        ["config", "show", "--set", f"trading.asset={CANARY}"],
        ["replay", CANARY, "--strategy", "stub"],
        ["doctor"],
    ):
        guarded(partial(app, words))
    said = capsys.readouterr()

    assert REDACTED in said.err
    assert CANARY not in said.out + said.err
    assert all(CANARY not in file.read_text() for file in Path().rglob("*") if file.is_file() and file.name != ".env")


def test_the_dotenv_is_read_under_the_environment_and_says_so(tmp_path):
    (tmp_path / ".env").write_text("# mine\nMODE=live\nRISK_MAX_DD_BPS=400\nexport A='b c'\n")

    found = Surroundings({"MODE": "paper"}, tmp_path)

    assert dict(found) == {"MODE": "paper", "RISK_MAX_DD_BPS": "400", "A": "b c"}
    assert found.origins == {"MODE": "environment", "RISK_MAX_DD_BPS": ".env", "A": ".env"}
