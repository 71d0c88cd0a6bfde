"""A minute of ``make soak``, beside all the other tests: it hardly needs a core.

What a busy machine changes (how late the loop is, how much is heard in a second) is said here and judged by
``make soak`` alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SOAK_S = 60


@pytest.mark.soak
def test_a_minute_of_a_thousand_messages_a_second_leaves_nothing_behind(record_property):
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", str(SOAK_S)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            said = process.communicate(timeout=300)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):  # nobody is left but what it was meant to end itself
                os.killpg(process.pid, signal.SIGKILL)

    last = said.splitlines()[-1]
    assert last.startswith("{"), said
    figures = json.loads(last)
    record_property(
        "soak",
        f"{figures['seconds']:.0f} s, {figures['frames_per_s']:.0f} frames/s, p99 {figures['lag_p99_ms']:.1f} ms late,"
        f" {figures['growth_mib']:+.1f} MiB, {figures['trades']} trades",
    )
    assert figures["exceeded"] == [], said
    assert figures["exit_code"] == 0
    assert figures["verified"]
