"""Where and how the process runs: paths, files, sockets, what people are told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.kinds import (
    NUMBER,
    Count,
    InstrumentName,
    Milliseconds,
    Seconds,
)
from config.schema.part import Interval, Part


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class Logging(Part):
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"


class TableFile(Part):
    """How to read the table files whose name fits ``match``."""

    match: str = Field(min_length=1, description="pattern of the file's name: *_1h_*.parquet")
    instrument: InstrumentName
    content: Literal["trades", "quotes", "bars"]
    columns: dict[str, str | int] = Field(default={}, description="our name of a column to the file's, or its index")
    interval: Interval | None = Field(default=None, description="length of the bars")
    stamp: Literal["start", "end"] = Field(default="start", description="which end of a bar its time is")

    @model_validator(mode="after")
    def _only_bars_have_a_length(self) -> TableFile:
        if self.interval is not None and self.content != "bars":
            raise ValueError(f"interval is for bars; {self.content} have none")
        return self


class Recording(Part):
    """What a live session keeps of what it heard."""

    piece_mb: Count = Field(default=256, description="most text in one piece, in MiB; a new hour begins a new one too")
    keep_days: Annotated[float, NUMBER, Field(gt=0, le=36_500)] = Field(
        default=30.0, description="recordings of finished sessions are deleted after so many days; journals stay"
    )
    budget_gb: Annotated[float, NUMBER, Field(gt=0, le=1e6)] = Field(
        default=50.0, description="most that recordings of finished sessions take, in GiB; the oldest go first"
    )
    spare_mb: Count = Field(default=256, description="with less free than this, in MiB, nothing more is recorded")


def _address(*schemes: str) -> AfterValidator:
    """An address of one of two schemes, secured, or not where it does not leave this machine."""
    secure, plain = schemes

    def check(address: str) -> str:
        parts = urlsplit(address)
        here = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or not (parts.scheme == secure or (parts.scheme == plain and here)):
            raise ValueError(f"must be {secure}://…, or {plain}:// to this machine, not {address!r}")
        return address.rstrip("/")

    return AfterValidator(check)


class Endpoint(Part):
    """Where a venue is found, in place of its own address."""

    ws: list[Annotated[str, _address("wss", "ws")]] = Field(
        default=[], description="addresses of its sockets, tried in this order; none means the venue's own"
    )
    rest: Annotated[str, _address("https", "http")] | None = Field(default=None, description="address of its REST side")
    proxy: str = Field(default="", pattern=r"^(https?://\S+)?$", description="an HTTP proxy for both")
    ca_file: str = Field(default="", description="certificates to trust besides the system's")


Port = Annotated[int, NUMBER, Field(ge=0, le=65_535)]


class ControlSocket(Part):
    """The unix socket beside the lock is always there; this is the other way in."""

    loopback: bool = Field(default=False, description="listen on 127.0.0.1 too, for who has the token beside the lock")
    port: Port = Field(default=0, description="of the loopback; 0: the system chooses")


class Watch(Part):
    """How a live process looks after itself."""

    metrics_port: Port = Field(default=0, description="for Prometheus, on 127.0.0.1: /metrics and /healthz; 0: none")
    memory_mb: Count = Field(default=2_048, description="above this, in MiB, garbage is collected and somebody told")
    clock_offset_ms: Milliseconds = Field(default=500.0, description="how far the wall may be from our clock, in ms")
    integrity_every_s: Seconds = Field(default=3_600.0, description="how often the journal's file is checked, in s")


class Notify(Part):
    """What people are told of; the addresses are a secret, ARGUS_NOTIFY_URLS."""

    level: Literal["info", "warning", "critical"] = Field(default="warning", description="what is below is not said")
    mute: list[
        Literal[
            "state", "fill", "refusal", "rejection", "strategy", "failure", "fault", "feed", "data", "finding",
            "heartbeat",
        ]
    ] = Field(default=[], description="kinds that are not said at all")  # fmt: skip
    same_within_s: Seconds = Field(default=600.0, description="the same is said once in so many seconds")
    per_minute: Count = Field(default=10, description="most messages in a minute; the others wait")
    kept: Count = Field(
        default=500, description="most messages that wait; of more the oldest are lost, never critical ones"
    )
    missed_heartbeat_s: Seconds = Field(default=60.0, description="silence of the daemon that is said, in seconds")


class SessionTerms(Part):
    """How long one session lasts while the process goes on."""

    roll_at: Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d)?$")] = Field(
        default="00:00",
        description="when, each day in UTC, a session is closed and the next begins with its orders; empty is never",
    )


class Process(Part):
    out_dir: Path = Field(default=Path("var/sessions"), description="folder that session directories are made in")
    state_dir: Path = Field(
        default=Path("var/state"), description="what outlives a session: the lock, the count of starts, the latest one"
    )
    kill_file: Path = Field(
        default=Path("var/KILL"), description="while this file is there nothing trades; made while running, it halts"
    )
    stop_within_s: Seconds = Field(default=10.0, description="how long a stop waits for open orders to be gone")
    busy_poll_ms: Milliseconds = Field(
        default=0.0, description="after a frame, look for the next without sleeping for so long; it takes a whole core"
    )
    session: SessionTerms = SessionTerms()
    recording: Recording = Recording()
    control: ControlSocket = ControlSocket()
    watch: Watch = Watch()
    notify: Notify = Notify()
    logging: Logging = Logging()
    tables: list[TableFile] = Field(default=[])
    endpoints: dict[str, Endpoint] = Field(default={}, description="other addresses of venues, by venue")


class Rehearsal(Part):
    """A clock shared with a sandbox exchange: since_ns + rate times what has passed on the wall since then."""

    rate: Annotated[float, NUMBER, Field(gt=0, le=100_000)] = Field(
        default=1.0, description="how much faster than the wall time runs; for paper trading on a sandbox exchange only"
    )
    since_ns: Annotated[int, NUMBER, Field(ge=0, lt=2**63)] = Field(
        default=0, description="when the clock left the wall, in ns, as the sandbox says it; 0 is the process's start"
    )
