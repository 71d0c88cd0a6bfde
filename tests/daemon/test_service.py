"""The service files are what the command writes, hardened, and do not restart what a restart would not mend."""

from __future__ import annotations

import os
import plistlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon import errors
from daemon.cli import app, guarded
from daemon.live.state import StateDirectory
from daemon.setup import install
from daemon.watch import guardian

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = ("argus.service", "argus@.service")
GUARDIAN = ROOT / "daemon" / "watch" / "guardian.py"


def settings(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


@pytest.mark.parametrize("name", [name for names in install.FILES.values() for name in names])
def test_what_lies_in_deploy_is_what_is_written_for_an_installation_in_opt(name):
    assert (DEPLOY / name).read_text() == install.render(name, install.OPT)


@pytest.mark.parametrize("name", [*UNITS, "argus.logrotate", "com.argus.daemon.plist"])
def test_for_another_place_nothing_is_left_of_opt(name):
    place = install.Place("/srv/py", "/srv/lib/daemon", "/srv/argus", "/srv/a.toml", "trader", "/srv/state")

    text = install.render(name, place)

    assert "/opt/" not in text
    assert "/var/lib" not in text
    assert "argus.toml" not in text
    assert "=argus\n" not in text.replace("Directory=argus\n", "")
    assert "su argus" not in text


@pytest.mark.parametrize(
    ("root", "word"), [("home/me", "read-only"), ("root", "read-only"), ("srv/home", "yes"), ("homes", "yes")]
)
def test_a_unit_may_read_the_homes_only_where_the_installation_is_in_one(root, word):
    place = install.Place(f"/{root}/bin/python", "/srv/lib/daemon", "/srv/argus")

    assert f"ProtectHome={word}\n" in install.render("argus.service", place)


def test_an_agents_unit_is_the_daemons_under_the_instances_name():
    both = zip(*((DEPLOY / unit).read_text().splitlines() for unit in UNITS), strict=True)

    differing = {one.partition("=")[0]: agents for one, agents in both if one != agents and not one.startswith("#")}

    assert set(differing) == {
        *("Description", "ExecStart", "ExecStopPost"),
        *("WorkingDirectory", "StateDirectory", "RuntimeDirectory", "Environment"),
    }
    assert all("%i" in agents for agents in differing.values())


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_exposed_to_no_more_than_two_of_ten(unit):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")

    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(DEPLOY / unit)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-200:] + run.stderr
    assert "Overall exposure level" in run.stdout


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_restarts_nothing_that_a_restart_would_not_mend_and_flushes_after_a_bad_end(unit):
    text = (DEPLOY / unit).read_text()

    final = [errors.USAGE, errors.CONFIG, errors.UNRECONCILED, errors.KILLED, errors.ORDERS_LEFT, errors.LOCKED]
    assert settings(text, "RestartPreventExitStatus") == [" ".join(map(str, final))]
    assert (errors.CLEAN, *final) == guardian.FINAL
    assert settings(text, "Type") == ["notify"]
    assert settings(text, "WatchdogSec") == ["20"]
    (after,) = settings(text, "ExecStopPost")
    assert '[ "$$SERVICE_RESULT" = success ] || exec' in after
    assert "panic.py" in after


def test_agents_have_settings_and_state_of_their_own():
    text = (DEPLOY / "argus@.service").read_text()

    assert settings(text, "ExecStart") == ["/opt/argus/bin/argus run --config /etc/argus/%i.toml"]
    assert settings(text, "WorkingDirectory") == ["/var/lib/argus/%i"]
    assert settings(text, "StateDirectory") == settings(text, "RuntimeDirectory") == ["argus/%i"]


def test_the_property_list_can_be_read():
    found = plistlib.loads((DEPLOY / "com.argus.daemon.plist").read_bytes())

    assert found["ProgramArguments"][-2:] == ["--config", "/etc/argus/argus.toml"]
    assert found["KeepAlive"] == {"SuccessfulExit": False}


def test_the_command_writes_this_installation_into_them(outside, capsys):
    assert guarded(lambda: app(["install-service", "--config", "/etc/a/b.toml", "--kind", "systemd"])) == 0

    text = (outside / "service" / "argus.service").read_text()
    assert "run --config /etc/a/b.toml" in text
    assert f"{ROOT / 'daemon'}/operating/panic.py" in text
    assert "@" not in "".join(settings(text, "ExecStart"))
    assert "systemctl enable" in capsys.readouterr().err
    assert guarded(lambda: app(["install-service", "--kind", "upstart"])) == 2
    assert guarded(lambda: app(["install-service", "--kind", "systemd", "--out", str(DEPLOY)])) == 2, "over its own"


CHILD = """
import os, socket, sys, time
def say(words):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.sendto(words, os.environ["NOTIFY_SOCKET"])
with open("lives", "a") as file: file.write("x")
lives = os.path.getsize("lives")
"""


def guard(folder: Path, body: str, *words: str) -> subprocess.Popen[str]:
    (folder / "child.py").write_text(CHILD + body)
    return subprocess.Popen(
        [sys.executable, "-I", str(GUARDIAN), "--config", "none.toml", *words, "--", sys.executable, "child.py"],
        cwd=folder,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.parametrize(("code", "lives"), [(0, 1), (2, 1), (7, 1), (9, 1), (1, 2)])
def test_the_guardian_starts_again_what_a_restart_may_mend(code, lives, tmp_path):
    child = guard(tmp_path, f"sys.exit({code})", "--starts", "2")

    _, said = child.communicate(timeout=30)

    assert child.returncode == code
    assert (tmp_path / "lives").read_text() == "x" * lives, said


def test_the_guardian_ends_what_gives_no_proof_of_life(tmp_path):
    child = guard(tmp_path, "say(b'READY=1'); time.sleep(60)", "--watchdog", "0.5", "--starts", "1")

    _, said = child.communicate(timeout=30)

    assert child.returncode == guardian_code(-signal.SIGKILL)
    assert "no proof of life" in said


def guardian_code(code: int) -> int:
    """What a shell would see of a process that returns ``code``."""
    return code % 256


def test_the_guardian_passes_a_stop_on_and_starts_nothing_again(tmp_path):
    stops = "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
    body = f"{stops}\nopen('there', 'w').close()\ntime.sleep(60)"
    child = guard(tmp_path, body)
    until = time.monotonic() + 20
    while not (tmp_path / "there").exists() and time.monotonic() < until:
        os.sched_yield()

    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)

    assert child.returncode == 0
    assert (tmp_path / "lives").read_text() == "x"


def test_the_fleet_shows_each_agent_and_that_none_runs(outside, capsys):
    for name in ("spot", "futures"):
        (outside / f"{name}.toml").write_text(f'[process]\nstate_dir = "var/{name}/state"\n')
        StateDirectory.open(outside / "var" / name / "state", "paper").close()
    (outside / "var" / "spot" / "state" / "state.json").write_text('{"mode":"paper","boot":3,"session":"x"}')

    assert guarded(lambda: app(["fleet", "status", "--config", "spot.toml", "--config", "futures.toml"])) == 3
    said = capsys.readouterr().out
    assert [line.split()[:3] for line in said.splitlines()[1:]] == [
        ["spot", "not", "running"],
        ["futures", "not", "running"],
    ]
    assert guarded(lambda: app(["fleet", "status"])) == 3, "found by their folders"
    assert "spot/state" in capsys.readouterr().out


def test_two_agents_in_one_state_directory_are_refused(outside, capsys):
    for name in ("a", "b"):
        (outside / f"{name}.toml").write_text("")

    assert guarded(lambda: app(["fleet", "status", "--config", "a.toml", "--config", "b.toml"])) == 2
    assert "share" in capsys.readouterr().err
