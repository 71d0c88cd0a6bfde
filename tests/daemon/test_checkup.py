"""What ``argus doctor`` says of settings, credentials, folders and the clock."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from config.schema import Endpoint
from daemon.setup import checkup
from daemon.setup.doctor import Finding, Status

ROOT = Path(__file__).resolve().parents[2]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_sound_configuration_has_nothing_to_do(outside):
    found = checkup.checks(None, {})

    assert {finding.status for finding in found if finding.name != "disk"} == {Status.OK}
    assert {"settings", "sessions", "state", "kill file", "disk", "credentials", "limits"} <= by_name(found).keys()
    assert "loss 1000 bps" in by_name(found)["limits"].detail


def test_every_fault_of_the_settings_is_a_finding_of_its_own(outside):
    (outside / "a.toml").write_text("[trading]\nseeed = 1\n[process]\nout = 2\n")

    found = checkup.checks(outside / "a.toml", {})

    assert [finding.status for finding in found] == [Status.FAIL, Status.FAIL]
    assert all("a.toml" in finding.detail for finding in found)


def test_credentials_are_named_with_their_place_and_never_shown(outside):
    found = checkup.checks(None, {"COINBASE_API_KEY": "canary-canary"})

    assert by_name(found)["COINBASE_API_KEY"].detail == "there, from environment, COINBASE_API_KEY"
    assert "canary" not in repr(found)


def test_a_kill_file_that_is_there_is_mentioned(outside):
    (outside / "var").mkdir()
    (outside / "var" / "KILL").touch()

    assert any("nothing trades" in finding.detail for finding in checkup.checks(None, {}))


@pytest.mark.parametrize(
    ("off_ms", "status"), [(0, Status.OK), (-240, Status.OK), (600, Status.WARN), (-2_000, Status.FAIL)]
)
def test_a_clock_that_is_off_is_found_by_asking_the_venue(off_ms, status):
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return orjson.dumps({"serverTime": round(time.time() * 1_000 - off_ms)})

    found = checkup.skew("binance", Endpoint(rest="http://127.0.0.1:1"), fetch)

    assert (found.status, asked) == (status, ["http://127.0.0.1:1/api/v3/time"])


def test_a_venue_that_does_not_answer_is_a_warning():
    def fetch(url: str) -> bytes:
        raise OSError("no route")

    assert checkup.skew("coinbase", Endpoint(), fetch).status is Status.WARN


def test_the_documented_validator_says_the_same(tmp_path):
    run = subprocess.run(
        [sys.executable, "-P", "-m", "logos.config_validate"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "RISK_MAX_NOTIONAL": "500"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "order 500, position 25000 USDT" in run.stdout
