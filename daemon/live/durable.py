"""What a power cut may not take: a session's files, forced to the disk in the order in which one explains the other.

First the recording, then the journal. The process itself only hands its bytes to the operating system, which is enough
for its own death and costs nothing; once a second a thread makes the disk take them. So what a power cut takes is at
most that second of both, and never the recording alone of something the journal was *forced* to keep: a record that no
input explains is left only where the system wrote the journal's pages by itself just before (``daemon.proof.salvage``).
"""

from __future__ import annotations

from pathlib import Path

from daemon.live.recorder import pieces
from daemon.session import force

EVERY_S = 1.0


class Durable:
    """``records`` of the journal are on the disk, and what explains them. Where the disk says that it failed, nobody
    knows what it has, and asking again would be told that all is well: whoever asked ends the session.
    """

    def __init__(self, session: Path, journal: Path) -> None:
        self._session = session
        self._journal = [journal.with_name(journal.name + "-wal"), journal]
        self._closed = 0  # pieces that are whole, and were forced already
        self._known: list[str] = []
        self.records = 0

    def sync(self) -> None:
        """Take your time; whoever writes meanwhile need not wait. Raises OSError."""
        found = pieces(self._session)
        for piece in found[self._closed :]:
            force(piece)
        self._closed = max(0, len(found) - 1)
        there = [path for path in self._journal if path.exists()]
        for path in there:
            force(path)
        names = [path.name for path in (*found, *there)]
        if names != self._known:  # a name is the directory's
            force(self._session)
            self._known = names
