"""``python -m logos.config_validate``: what ``argus doctor`` says of settings, folders, credentials and limits."""

from __future__ import annotations

import sys

from bus import money
from daemon.cli import app, guarded


def main() -> None:
    money.install()
    sys.exit(guarded(lambda: app(["doctor"])))


if __name__ == "__main__":
    main()
