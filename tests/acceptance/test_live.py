"""``argus run`` as its user has it: a process, its exit codes, and what it says."""

from __future__ import annotations

import signal
import time

from tests.acceptance.command import argus, outcome, start


def test_a_second_process_is_told_who_has_the_state_directory_and_a_signal_ends_the_first_in_order(tmp_path):
    first = start("run", "--out", "one", "--json", cwd=tmp_path)
    deadline = time.monotonic() + 60
    while (
        not (tmp_path / "var/state/state.json").exists() or "one" not in (tmp_path / "var/state/state.json").read_text()
    ):
        assert time.monotonic() < deadline, first.communicate(timeout=1)
        time.sleep(0.02)

    second = outcome(start("run", "--out", "two", cwd=tmp_path))
    first.send_signal(signal.SIGTERM)
    said = outcome(first)

    assert second.code == 9
    assert f"in use by process {first.pid}" in second.err
    assert not (tmp_path / "two").exists()
    assert (said.code, said.summary["reason"], said.summary["state"]) == (0, "interrupted by SIGTERM", "stopping")
    verified = argus("verify", tmp_path / "one", "--json")
    assert verified.code == 0, verified.out
