"""The `file` destination: one JSON line a lead, in the normal form, on disk before it counts as delivered."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import fields, validate

from app.destinations.base import DeliveryFailed, DestinationSchema, Erasure, Outcome, Parcel, Sent, Tools
from app.destinations.rewriting import BLOCK, rewrite, write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.destinations.base import Record

_ID = re.compile(rb'"id": ?"([^"]*)"')
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # JSON lets them stand, but Python and editors end a line there


class FileSchema(DestinationSchema):
    """`[destinations.NAME]` of type `file`."""

    path = fields.String(
        required=True,
        validate=validate.Regexp("[^~]"),
        metadata={"allowed": 'the path of a file, such as "var/leads.jsonl" ("~" is not expanded)'},
    )


class File:
    """JSON lines, appended and fsynced under a file lock; a lead that is already there is not written again."""

    schema: ClassVar[type[DestinationSchema]] = FileSchema
    takes_notices: ClassVar[bool] = False
    max_batch = 500
    usage: None = None  # a disk has no limit of calls

    def __init__(self, name: str, settings: Mapping[str, Any], tools: Tools) -> None:
        """Name the file; it and its folder are made when first written."""
        del name
        self._now = tools.now
        self._path = Path(settings["path"])

    def send(self, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        """Append the batch in one write.

        Raises:
            DeliveryFailed: the code is the operating system's name of the error, such as ENOSPC.

        """
        try:
            self._append(parcels)
        except OSError as exc:
            raise _failure(exc) from exc
        return [Sent() for _ in parcels]

    def erase(self, records: Sequence[Record]) -> Sequence[Erasure]:
        """Write the file anew without the leads' lines, and blank them in the old one before its blocks are given back.

        Raises:
            DeliveryFailed: as of `send`.

        """
        try:
            counted = self._without({record.lead_id for record in records})
        except OSError as exc:
            raise _failure(exc) from exc
        return [_erasure(counted[record.lead_id]) for record in records]

    def check(self) -> str:
        """Open the file for appending."""
        try:
            os.close(self._open())
        except OSError as exc:
            raise _failure(exc) from exc
        return f"{self._path}: writable"

    def close(self) -> None:
        """Nothing stays open between batches, so that the file may be moved away at any time."""

    def _open(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)

    def _locked(self) -> int:
        """Open the file under its lock: the one that has the name now, for `erase` may put another in its place."""
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self._path.exists() and os.path.samestat(os.fstat(descriptor), self._path.stat()):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _without(self, ids: set[str]) -> Counter[str]:
        """Take out the lines of leads; gives how many there were of each."""
        counted: Counter[str] = Counter()
        if not self._path.exists():
            return counted
        descriptor = self._locked()
        try:
            path = self._path.resolve()  # a link stays one
            lines = list(_lines_of(descriptor, ids))
            counted.update(id_ for id_, _, _ in lines)
            if lines:
                rewrite(descriptor, path, without=[(start, length) for _, start, length in lines])
        finally:
            os.close(descriptor)
        return counted

    def _append(self, parcels: Sequence[Parcel]) -> None:
        descriptor = self._locked()
        try:
            _mend_end(descriptor)
            # Asked under the lock: whoever slept past its lease finds what another worker wrote meanwhile.
            there = _ids_there(descriptor, {one.lead_id for one in parcels if one.redelivery or self._is_late(one)})
            lines = b"".join(_line(parcel) for parcel in parcels if parcel.lead_id not in there)
            end = os.fstat(descriptor).st_size
            try:
                write_all(descriptor, lines)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)  # a full disk leaves half a line otherwise
                raise
        finally:
            os.close(descriptor)

    def _is_late(self, parcel: Parcel) -> bool:
        return parcel.leased_until is not None and parcel.leased_until <= self._now()


def _line(parcel: Parcel) -> bytes:
    received_at = parcel.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document = {
        "id": parcel.lead_id,
        "received_at": received_at,
        "source": parcel.source,
        "test": parcel.test,
        "lead": parcel.lead.as_dict(),
    }
    line = json.dumps(document, ensure_ascii=False)
    return _LINE_ENDS.sub(lambda end: f"\\u{ord(end[0]):04x}", line).encode() + b"\n"


def _mend_end(descriptor: int) -> None:
    """Deal with a last line that has no end: a crash in mid-line left it, or a person's editor.

    Half a line was never acknowledged, and its lead comes again: it is cut off. A whole one gets its line end.
    """
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    start, tail = size, b""
    while start > 0 and b"\n" not in tail:
        step = min(BLOCK, start)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
    line = tail[tail.rfind(b"\n") + 1 :]
    if _is_half(line):
        os.ftruncate(descriptor, size - len(line))
    else:
        write_all(descriptor, b"\n")


def _is_half(line: bytes) -> bool:
    """Whether it is the beginning of a line of ours and not the whole; what else stands there is not ours to cut."""
    ours = b'{"id": "'
    if not (line.startswith((ours, b"\0")) or ours.startswith(line)):
        return False  # a power cut leaves NULs
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def _ids_there(descriptor: int, ids: set[str]) -> set[str]:
    """Which of `ids` the file has: asked only for leads that an earlier attempt may have written."""
    found: set[str] = set()
    if not ids:
        return found
    for id_, _, _ in _lines_of(descriptor, ids):
        found.add(id_)
        if found == ids:
            break
    return found


def _lines_of(descriptor: int, ids: set[str]) -> Iterator[tuple[str, int, int]]:
    """Give id, start and length in bytes of each line that is one of these leads'."""
    with os.fdopen(os.dup(descriptor), "rb") as lines:
        start = lines.seek(0)
        for line in lines:
            # Each of our lines begins with its id; reading the whole of every line would be slow in a long file.
            told = _ID.search(line, 0, 64)
            if told is not None and (id_ := told[1].decode("ascii", "replace")) in ids:
                yield id_, start, len(line)
            start += len(line)


def _erasure(lines: int) -> Erasure:
    if not lines:
        return Erasure(erased=True, told="It is not in the file: it may have been moved on.")
    return Erasure(erased=True, told="Taken out of the file. Copies of the file are not reached.")


def _failure(exc: OSError) -> DeliveryFailed:
    return DeliveryFailed(errno.errorcode.get(exc.errno or 0, "EIO"), detail=exc.strerror or "")
