"""The `file` destination: one JSON line a lead, in the normal form, on disk before it counts as delivered."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from marshmallow import fields, validate

from app.destinations.base import DeliveryFailed, DestinationSchema, Outcome, Parcel, Sent, Tools

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BLOCK = 1 << 20


class FileSchema(DestinationSchema):
    """`[destinations.NAME]` of type `file`."""

    path = fields.String(required=True, validate=validate.Length(min=1))


class File:
    """JSON lines, appended and fsynced under a file lock; a lead that is already there is not written again."""

    schema: ClassVar[type[DestinationSchema]] = FileSchema
    takes_notices: ClassVar[bool] = False
    max_batch = 500
    usage: None = None  # a disk has no limit of calls

    def __init__(self, name: str, settings: Mapping[str, Any], tools: Tools) -> None:
        """Name the file; it and its folder are made when first written."""
        del name, tools
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

    def _append(self, parcels: Sequence[Parcel]) -> None:
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _mend_end(descriptor)
            there = _ids_there(descriptor, {parcel.lead_id for parcel in parcels if parcel.redelivery})
            lines = b"".join(_line(parcel) for parcel in parcels if parcel.lead_id not in there)
            end = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, lines)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)  # a full disk leaves half a line otherwise
                raise
        finally:
            os.close(descriptor)


def _line(parcel: Parcel) -> bytes:
    received_at = parcel.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document = {
        "id": parcel.lead_id,
        "received_at": received_at,
        "source": parcel.source,
        "test": parcel.test,
        "lead": parcel.lead.as_dict(),
    }
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
        _write_all(descriptor, b"\n")


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
    with os.fdopen(os.dup(descriptor), "rb") as lines:
        lines.seek(0)
        for line in lines:
            # Each of our lines begins with its id; reading the whole of every line would be slow in a long file.
            found |= {one for one in ids - found if one.encode() in line[:64]}
            if found == ids:
                break
    return found


def _failure(exc: OSError) -> DeliveryFailed:
    return DeliveryFailed(errno.errorcode.get(exc.errno or 0, "EIO"), detail=exc.strerror or "")
