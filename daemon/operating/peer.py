"""Who is at the other end of a unix socket, by the word of the kernel."""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress
from typing import Any, NamedTuple

_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1  # macOS: sys/un.h
_XUCRED = struct.Struct("=IIh2x16I")


class Peer(NamedTuple):
    uid: int
    pid: int

    @property
    def name(self) -> str:
        """As the journal knows them."""
        login = ""
        with suppress(ImportError, KeyError):
            import pwd

            login = pwd.getpwuid(self.uid).pw_name
        return f"{login or 'uid'}({self.uid})"


def peer_of(transport: Any) -> Peer | None:
    """None for a connection that is no unix socket's."""
    wire = transport.get_extra_info("socket") if transport is not None else None
    if wire is None or wire.family != getattr(socket, "AF_UNIX", None):
        return None
    if sys.platform == "linux":
        pid, uid, _ = struct.unpack("3i", wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return Peer(uid, pid)
    if sys.platform == "darwin":
        raw = wire.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED.size)
        return Peer(_XUCRED.unpack(raw)[1], 0)
    return Peer(os.getuid(), 0)  # the socket's mode is all there is
