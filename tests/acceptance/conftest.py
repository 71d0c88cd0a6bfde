"""What the acceptance tests share: the capture as lines, read once, and an invented market for machines without it."""

from __future__ import annotations

import pytest

from tests.acceptance import tape


@pytest.fixture(scope="session")
def capture(recordings) -> tape.Lines:
    """The BTCUSDT capture, line by line."""
    return tape.read(recordings / tape.CAPTURE)


@pytest.fixture(scope="session")
def market() -> tape.Lines:
    """A minute of an invented market, line by line."""
    return tape.synthetic(1.0)
