"""Recordings: what a session heard, one ``Input`` a line, written and read back.

A reader keeps whatever can be read. A line that cannot is reported with its number and skipped; a file cut in the
middle of a line or of a compressed frame, or with something else stuck to its end, is reported once and ends there.
Only a file without one recording line in it is refused. Which compression a file uses is read from its first bytes, not
its name.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol

import msgspec
import zstandard

from bus import inputs
from bus.inputs import Input

OnBad = Callable[[int, str, str], object]
"""What hears of a line that cannot be read: its number (from 1), its text, and why."""

_BLOCK = 1 << 18
_COMPRESSED_BLOCK = 1 << 13
_LONGEST_LINE = 1 << 26  # a snapshot of a whole venue is a few MB; a "line" past this is not text at all
_PATIENCE = 1_000  # bad lines in a row before the first good one: after that it is some other kind of file

_ts = attrgetter("ts")
_decoder = msgspec.json.Decoder(Input)
_encode_lines = msgspec.json.Encoder().encode_lines
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class NotARecording(Exception):  # a fact about a file
    """A file in which not one line is a recorded input."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is not a recording: {why}")
        self.path = path
        self.why = why


class Recording:
    """One recorded file, read in batches. ``bad`` counts the lines that could not be read."""

    def __init__(self, path: Path, on_bad: OnBad | None = None) -> None:
        self.path = path
        self.bad = 0
        self._on_bad = on_bad
        self._size = path.stat().st_size
        self._read = 0
        self._batch: list[Input] = []
        self._chunk = b""
        self._before = 0  # bytes of text before the chunk
        self._first_line = 0  # the number of the chunk's first line; 0 until somebody asks for one
        self._numbers: list[int] | None = None

    def batches(self) -> Iterator[list[Input]]:
        """All readable lines in file order, about a quarter of a megabyte of text at a time."""
        unread: list[tuple[int, str, str]] = []  # bad lines, kept back while this may not be a recording at all
        good = False
        with self.path.open("rb") as file:
            for chunk in self._chunks(file, unread):
                self._chunk, self._numbers = chunk, None
                self._batch = batch = self._decode(chunk, unread)
                good = good or bool(batch)
                if not good and len(unread) > _PATIENCE:
                    break
                if good and unread:
                    self._report(unread)
                if batch:
                    yield batch
                self._pass(chunk)
        if not good:
            raise NotARecording(self.path, _why(unread))
        self._report(unread)

    def locate(self, item: Input) -> int:
        """The number of the line ``item`` of the current batch came from. Slow: for error messages."""
        at = next(i for i, other in enumerate(self._batch) if other is item)
        if self._numbers is None:
            lines = enumerate(self._chunk.split(b"\n"), self._line())
            self._numbers = [number for number, line in lines if line.strip()]
        return self._numbers[min(at, len(self._numbers) - 1)]  # two objects on one line are read as well

    def progress(self) -> float:
        """How much of the file has been read, by its bytes on disk: 0 to 1."""
        return self._read / self._size if self._size else 1.0

    def _line(self) -> int:
        """The number of the chunk's first line. Nobody counts lines until the first error; from then on all are."""
        if not self._first_line:
            left, self._first_line = self._before, 1
            with self.path.open("rb") as file:
                blocks = _blocks(file)
                while left > 0:
                    block = next(blocks)
                    self._first_line += block.count(b"\n", 0, left)
                    left -= len(block)
        return self._first_line

    def _pass(self, chunk: bytes) -> None:
        self._before += len(chunk)
        if self._first_line:
            self._first_line += chunk.count(b"\n")

    def _decode(self, chunk: bytes, unread: list[tuple[int, str, str]]) -> list[Input]:
        try:
            batch = _decoder.decode_lines(chunk)
            sum(map(_ts, batch))  # the quickest way to trip over a missing time
            return batch
        except (*_UNREADABLE, TypeError):  # TypeError: a line without a time
            pass
        return self._decode_singly(chunk, unread)

    def _decode_singly(self, chunk: bytes, unread: list[tuple[int, str, str]]) -> list[Input]:
        batch: list[Input] = []
        self._numbers = []
        for number, line in enumerate(chunk.split(b"\n"), self._line()):
            if not line.strip():
                continue
            try:
                item = _decoder.decode(line)
                why = _objection(item)
            except _UNREADABLE as error:
                why = str(error)
            if why:
                unread.append((number, line.decode(errors="replace"), why))
            else:
                batch.append(item)
                self._numbers.append(number)
        return batch

    def _report(self, unread: list[tuple[int, str, str]]) -> None:
        self.bad += len(unread)
        if self._on_bad is not None:
            for number, text, why in unread:
                self._on_bad(number, text, why)
        unread.clear()

    def _chunks(self, file: BinaryIO, unread: list[tuple[int, str, str]]) -> Iterator[bytes]:
        """The text cut after its last line end; what is left at the end of the file is a chunk as well."""
        tail = b""
        damage = ""
        try:
            for block in _blocks(file):
                self._read = file.tell()
                cut = block.rfind(b"\n") + 1
                if cut:
                    yield tail + block[:cut]
                    tail = block[cut:]
                else:
                    tail += block
                    if len(tail) > _LONGEST_LINE:
                        raise _Damaged(f"a line longer than {_LONGEST_LINE} bytes")
        except _Damaged as damaged:
            damage = str(damaged)
        if tail and (not damage or _is_whole(tail)):
            yield tail
            tail = b""
        if damage:
            unread.append((self._line(), tail[:_BLOCK].decode(errors="replace"), damage))


def _is_whole(line: bytes) -> bool:
    try:
        return not _objection(_decoder.decode(line))
    except _UNREADABLE:
        return False


def _objection(item: Input) -> str:
    if item.ts is None:
        return "" if item.kind == inputs.META else "no time"
    return ""


def _why(unread: Sequence[tuple[int, str, str]]) -> str:
    if not unread:
        return "it is empty"
    number, _, why = unread[0]
    return f"no line of it is a recorded input (line {number}: {why})"


class RecordingWriter:
    """Writes inputs to a new ``.jsonl.zst``. After ``flush`` everything written so far can be read back."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")  # a recording is never written over
        self._compressor = zstandard.ZstdCompressor().compressobj()
        self._items: list[Input] = []
        self._waiting = 0

    def write(self, item: Input) -> None:
        self._items.append(item)
        self._waiting += len(item.raw)
        if self._waiting >= _BLOCK:
            self._compress()

    def flush(self) -> None:
        """Hand everything written to the operating system, ending at a point from which it decodes."""
        self._compress()
        self._file.write(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
        self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            self._compress()
            self._file.write(self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
            self._file.close()

    def _compress(self) -> None:
        if self._items:
            self._file.write(self._compressor.compress(_encode_lines(self._items)))
            self._items.clear()
            self._waiting = 0

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


# --- from bytes on disk to text --------------------------------------------------------------------------------


class _Damaged(Exception):  # never leaves this file
    """The compressed data goes wrong here, and everything before it has been read."""


class _Inflater(Protocol):
    """What zlib's and zstandard's decompression objects have in common: one for each frame (gzip: member)."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _zstd() -> _Inflater:
    return zstandard.ZstdDecompressor().decompressobj()


def _gzip() -> _Inflater:
    return zlib.decompressobj(wbits=31)


_MAGIC: dict[bytes, Callable[[], _Inflater]] = {b"\x28\xb5\x2f\xfd": _zstd, b"\x1f\x8b": _gzip}
_BROKEN = (zstandard.ZstdError, zlib.error)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The file's text in blocks, decompressed where it is compressed."""
    start = file.read(4)
    file.seek(0)
    for magic, inflater in _MAGIC.items():
        if start.startswith(magic):
            yield from _inflate(file, inflater)
            return
    if start.startswith(_BYTE_ORDER_MARK):
        file.seek(len(_BYTE_ORDER_MARK))
    while block := file.read(_BLOCK):
        yield block


def _inflate(file: BinaryIO, new: Callable[[], _Inflater]) -> Iterator[bytes]:
    inflater, frame, fresh = new(), 0, True
    while data := file.read(_COMPRESSED_BLOCK):
        while data:
            if fresh:
                frame, fresh = file.tell() - len(data), False
            try:
                text = inflater.decompress(data)
            except _BROKEN as error:
                at = file.tell() - len(data)
                if rest := _rescue(file, new(), frame, at):
                    yield rest
                raise _Damaged(f"damaged after byte {at}: {error}") from None
            if text:
                yield text
            if not inflater.eof:
                break
            data = inflater.unused_data
            inflater, fresh = new(), True
    if not fresh:
        raise _Damaged("cut off: the compressed data ends in the middle")


def _rescue(file: BinaryIO, inflater: _Inflater, frame: int, at: int) -> bytes:
    """What decodes of the block at ``at`` before the damage in it: the frame again, then that block byte by byte."""
    file.seek(frame)
    while file.tell() < at:
        inflater.decompress(file.read(min(_COMPRESSED_BLOCK, at - file.tell())))
    text = bytearray()
    try:
        for byte in file.read(_COMPRESSED_BLOCK):
            text += inflater.decompress(bytes((byte,)))
    except _BROKEN:
        pass
    return bytes(text)
