"""``argus panic``: end a process that does not listen, and write down what was open. Stands alone: it is run as a file
by a bare interpreter and imports nothing of ours, so that whatever is wrong with the daemon is not wrong with this.

The ladder, each rung only where the one before led to nothing: ask by the control socket (halt); SIGTERM; SIGKILL.
Within three seconds the process is gone and its lock is free. A process that was killed leaves no word, so this reads
its journal and leaves one for it, ``last_words.json``, with every order that was open. The next start cancels those
before anything else, and arms nothing until somebody has acknowledged it. Where nothing runs any more, as after a
crash, it writes the words and no more: a restart goes on from there.

    python -I daemon/operating/panic.py [--state-dir DIR | --config FILE] [--json]

Exit codes: 0 gone (or not there), 1 it is still there, 2 usage, 3 nothing ever ran there.
"""

from __future__ import annotations

import argparse
import errno
import http.client
import json
import os
import secrets
import signal
import socket
import sqlite3
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

ANSWER_S, ENDS_S, TERM_S, KILL_S = 0.4, 0.9, 0.5, 1.0
"""How long for an answer, for a halt to be through, after SIGTERM, after SIGKILL: together under three seconds."""

_GONE, _STILL_THERE, _USAGE, _NEVER = 0, 1, 2, 3

Steps = list[str]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="argus panic", description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--state-dir", help="of the process to end; the configuration's otherwise")
    parser.add_argument("--config", help="its TOML file")
    parser.add_argument("--json", action="store_true", help="end stdout with one JSON object")
    said = parser.parse_args(words)
    try:
        directory = Path(said.state_dir or _state_dir(said.config or os.environ.get("ARGUS_CONFIG", "")))
    except (OSError, ValueError, TypeError) as error:
        print(f"argus panic: {error}; name the directory with --state-dir", file=sys.stderr)
        return _USAGE
    done = panic(directory, lambda step: print(step, file=sys.stderr))
    if said.json:
        print(json.dumps(done))
    return int(done["exit_code"])


def panic(directory: Path, tell: Callable[[str], object] = lambda _: None) -> dict[str, Any]:
    """All of it; what was done, in order, and what was open."""
    begun, steps = time.monotonic(), Steps()

    def step(text: str) -> None:
        steps.append(text)
        tell(text)

    if not (directory / "state.json").is_file():
        step(f"{directory} is no state directory: nothing ever ran there")
        return {"exit_code": _NEVER, "steps": steps, "pid": None, "orders": [], "positions": {}}
    lock = directory / "lock"
    try:
        pid = _holder(lock)
    except OSError as error:
        step(f"{lock} cannot be looked at ({error.strerror}): run this as whom the process runs as")
        return {"exit_code": _STILL_THERE, "steps": steps, "pid": None, "orders": [], "positions": {}}
    if pid is None:
        step("nothing runs there")
    else:
        step(f"process {pid or 'of unknown number'} holds {lock}")
        _end(directory, pid, lock, step)
    gone = _holder(lock) is None
    if not gone:
        step(f"{pid or 'it'} is STILL THERE")
    orders, positions = [], {}
    try:
        words = last_words(directory, ended=pid is not None)
        orders, positions = words["orders"], words["positions"]
        if gone:
            step(f"open when it ended: {len(orders)} orders, {len(positions)} positions")
    except (OSError, ValueError, LookupError) as error:
        step(f"what was open is NOT known: {error}")
    for one in orders:
        step(f"  open: {one['side']} {one['leaves']} {one['instrument']} ({one['client_id']})")
    return {
        "exit_code": _GONE if gone else _STILL_THERE,
        "steps": steps,
        "pid": pid,
        "took_s": round(time.monotonic() - begun, 3),
        "orders": orders,
        "positions": positions,
    }


# --- the ladder ------------------------------------------------------------------------------------------------


def _end(directory: Path, pid: int, lock: Path, step: Callable[[str], object]) -> None:
    try:
        answer = _ask(directory)
    except (OSError, ValueError, http.client.HTTPException) as error:
        step(f"no answer by the socket: {error or type(error).__name__}")
    else:
        step(f"asked by the socket: {answer}")
        if _free(lock, ENDS_S):
            step("it halted and ended")
            return
    if not pid:
        step(f"{lock} does not say whose it is: end that process by hand (fuser {lock})")
        return
    for number, within_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, KILL_S)):
        step(f"{number.name} to {pid}")
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except OSError as error:
            step(f"{number.name}: {error.strerror}")
        if _free(lock, within_s):
            step(f"gone after {number.name}")
            return


def _ask(directory: Path) -> str:
    address = json.loads((directory / "control.json").read_text("utf-8"))
    headers = {"Content-Type": "application/json"}
    if "socket" in address:
        wire = http.client.HTTPConnection("localhost", timeout=ANSWER_S)
        wire.sock = socket.socket(socket.AF_UNIX)
        wire.sock.settimeout(ANSWER_S)
        wire.sock.connect(address["socket"])
    else:
        wire = http.client.HTTPConnection("127.0.0.1", int(address["port"]), timeout=ANSWER_S)
        headers["Authorization"] = f"Bearer {(directory / 'control.token').read_text('utf-8').strip()}"
    body = {
        "name": "halt",
        "payload": {"reason": "argus panic"},
        "boot": address["boot"],
        "nonce": secrets.token_hex(16),
        "expires_ns": time.time_ns() + 5 * 10**9,
    }
    try:
        wire.request("POST", "/v1/commands", json.dumps(body), headers)
        answer = wire.getresponse()
        text = json.loads(answer.read())
    finally:
        wire.close()
    return str(text.get("error") or f"{text.get('state')}, by {text.get('who')}")


def _holder(lock: Path) -> int | None:
    """The process that holds the lock, by its own word, 0 where that names none; None where nobody holds it. Raises
    OSError where it cannot be opened.
    """
    try:
        fd = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        import fcntl

        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            word = os.pread(fd, 32, 0).decode(errors="replace").strip()
            # Neither everybody (-1), nor our own group (0), nor init is ever meant.
            return pid if word.isdecimal() and (pid := int(word)) > 1 else 0
        return None
    finally:
        os.close(fd)


def _free(lock: Path, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while _holder(lock) is not None:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# --- the last words --------------------------------------------------------------------------------------------


def last_words(directory: Path, *, ended: bool) -> dict[str, Any]:
    """What the latest session said at its end; written for it where it said nothing, and where it was ``ended`` by us,
    saying so: then the next start takes back what it left. Never changes what it said. Raises OSError, and ValueError
    for a file that is damaged.
    """
    session = _session_of(directory / "state.json")
    path = session / "last_words.json"
    if path.is_file():
        return _said(path)
    reason = "panic: the process was ended" if ended else "killed: it left no word"
    words: dict[str, Any] = {"session": session.name, "reason": reason, "exit_code": None, "state": None}
    found: list[str] = []
    try:
        orders, positions = what_was_open(session / "journal.db")
    except (sqlite3.Error, ValueError, OSError, LookupError) as error:
        orders, positions = [], {}
        found.append(f"its journal could not be read ({error}): what was open is NOT known")
    words |= {"orders": orders, "positions": positions, "findings": found, "panic": ended}
    beside = path.with_name(path.name + ".tmp")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(words, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return words


def _session_of(state: Path) -> Path:
    kept = json.loads(state.read_text("utf-8"))
    if not isinstance(kept, dict) or not isinstance(kept.get("session"), str):
        raise ValueError(f"{state} is damaged: it names no session")
    return Path(kept["session"])


def _said(path: Path) -> dict[str, Any]:
    said = json.loads(path.read_text("utf-8"))
    orders = said.get("orders", []) if isinstance(said, dict) else None
    positions = said.get("positions", {}) if isinstance(said, dict) else None
    named = {"side", "leaves", "instrument", "client_id"}
    if not isinstance(orders, list) or not isinstance(positions, dict):
        raise ValueError(f"{path} is damaged; argus export makes it again")
    if not all(isinstance(one, dict) and named <= one.keys() for one in orders):
        raise ValueError(f"{path} is damaged: an order in it lacks one of {', '.join(sorted(named))}")
    return {**said, "orders": orders, "positions": positions}


def what_was_open(journal: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Orders that nothing ended, and positions, from the chain alone. A record is ``[seq, type, fields]``; which field
    is which stands in docs/formats.md, and a test holds this to the events themselves.
    """
    orders: dict[str, dict[str, Any]] = {}
    named: dict[str, str] = {}
    held: dict[str, Decimal] = {}
    filled: dict[str, Decimal] = {}
    for kind, fields in _records(journal):
        match kind:
            case "StateRestored":
                for terms, client_id, _mid, _size, price, before, leaves, _wanted in fields[7]:
                    orders[terms[0]] = _order(terms, client_id, price, leaves)
                    filled[terms[0]] = Decimal(before)
                    named[client_id] = terms[0]
                for position in fields[6][3]:
                    held[position[0][0]] = sum((Decimal(lot[0]) for lot in position[-1]), Decimal(0))
            case "OrderApproved":
                terms = fields[1]
                orders[terms[0]] = _order(terms, "", terms[6], terms[5])
            case "OrderSubmitted":
                named[fields[1]] = fields[2]
                if fields[2] in orders:
                    orders[fields[2]]["client_id"] = fields[1]
            case "OrderReplaced" if (intent := named.get(fields[1], "")) in orders:
                left = Decimal(fields[3]) - filled.get(intent, Decimal(0))  # it names the new total
                orders[intent] |= {"price": _plain(fields[2]), "leaves": _plain(left)}
            case "OrderFilled":
                size = Decimal(fields[8])
                filled[fields[2]] = filled.get(fields[2], Decimal(0)) + size
                held[fields[4]] = held.get(fields[4], Decimal(0)) + (size if fields[6] == "buy" else -size)
                if fields[10] == _base(fields[4]):  # spot: the fee is taken out of what was bought
                    held[fields[4]] -= Decimal(fields[9])
                if Decimal(fields[13]) == 0:
                    orders.pop(fields[2], None)
                elif fields[2] in orders:
                    orders[fields[2]]["leaves"] = _plain(fields[13])
            case "OrderCancelled" | "OrderExpired" | "OrderRejected":
                orders.pop(named.get(fields[1], ""), None)
    return list(orders.values()), {name: str(_plain(size)) for name, size in held.items() if size}


def _base(instrument: str) -> str:
    """Of a spot instrument, as ``venue:BASE/QUOTE``; empty for others, which name what they settle in."""
    symbol = instrument.partition(":")[2]
    return "" if ":" in symbol else symbol.partition("/")[0]


def _order(terms: list[Any], client_id: str, price: Any, leaves: Any) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "intent_id": terms[0],
        "instrument": terms[2],
        "side": terms[3],
        "type": terms[4],
        "price": _plain(price),
        "leaves": _plain(leaves),
    }


def _plain(number: Any) -> str | None:
    """Without the zeros that say nothing."""
    return None if number is None else f"{Decimal(number).normalize():f}"


def _records(journal: Path) -> Iterator[tuple[str, list[Any]]]:
    if not journal.is_file():
        raise FileNotFoundError(f"{journal} is not there")
    db = sqlite3.connect(f"{journal.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
    try:
        for (lines,) in db.execute("SELECT lines FROM chain ORDER BY first"):
            for line in lines.splitlines():
                _seq, kind, fields = json.loads(line)
                yield kind, fields
    finally:
        db.close()


def _state_dir(config: str) -> str:
    if not config:
        return "var/state"
    process = tomllib.loads(Path(config).read_text("utf-8")).get("process", {})
    return str(process.get("state_dir", "var/state"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
