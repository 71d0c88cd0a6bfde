"""``python -m daemon`` is ``argus``."""

from daemon.cli import main

main()
