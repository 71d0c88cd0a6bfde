"""A minute of ``make soak``, beside all the other tests: begun with the first of them, judged by the last.

What a busy machine changes (how late the loop is, how much is heard in a second) is said here and judged by
``make soak`` alone.
"""

from __future__ import annotations

import json

from tests.conftest import Soak


def test_a_minute_of_a_thousand_messages_a_second_leaves_nothing_behind(soak: Soak, capsys):
    said = soak.said()

    last = said.splitlines()[-1]
    assert last.startswith("{"), said
    figures = json.loads(last)
    with capsys.disabled():
        print(
            f"\nsoak: {figures['seconds']:.0f} s, {figures['frames_per_s']:.0f} frames/s,"
            f" p99 {figures['lag_p99_ms']:.1f} ms late, {figures['growth_mib']:+.1f} MiB, {figures['trades']} trades"
        )
    assert figures["exceeded"] == [], said
    assert figures["exit_code"] == 0
    assert figures["verified"]
