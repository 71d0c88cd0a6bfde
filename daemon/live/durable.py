"""What a power cut may not take: a session's files, forced to the disk in the order in which one explains the other.

First the recording, then the journal. The process itself only hands its bytes to the operating system, which is enough
for its own death and costs nothing; once a second a thread makes the disk take them. So what a power cut takes is at
most that second of both, and never the recording alone of something the journal was *forced* to keep: a record that no
input explains is left only where the system wrote the journal's pages by itself just before (``daemon.proof.salvage``).

Of the journal only the write-ahead log is forced here. SQLite forces the rest itself when it moves records over, and
nobody may open the database beside it: whoever closes it again takes from this process every lock that SQLite holds on
it (https://sqlite.org/howtocorrupt.html, 2.2), and the next reader to leave would delete the log we write to.
"""

from __future__ import annotations

from contextlib import suppress
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
        self._log = journal.with_name(journal.name + "-wal")
        self._closed = 0  # pieces that are whole, and were forced already
        self._known: list[str] = []
        self.records = 0

    def sync(self) -> None:
        """Take your time; whoever writes meanwhile need not wait. Raises OSError."""
        found = pieces(self._session)
        for piece in found[self._closed :]:
            force(piece)
        self._closed = max(0, len(found) - 1)
        names = [piece.name for piece in found]
        with suppress(FileNotFoundError):  # the journal is closed: SQLite has moved and forced all that was in it
            force(self._log)
            names.append(self._log.name)
        if names != self._known:  # a name is the directory's
            force(self._session)
            self._known = names
