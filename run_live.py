"""The documented way to start: ``python run_live.py`` is ``argus run`` and takes what that takes."""

from __future__ import annotations

import sys

from daemon.cli import main

if __name__ == "__main__":
    sys.argv.insert(1, "run")
    main()
