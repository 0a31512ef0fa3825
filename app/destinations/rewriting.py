"""A file without some of its parts, put in its place: whoever opens it finds the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BLOCK = 1 << 20  # bytes


def rewrite(descriptor: int, path: Path, *, without: Sequence[tuple[int, int]]) -> None:
    """Write an open file anew without some parts (start and length in bytes), and overwrite those in the old one.

    The new one is locked until all is done. Raises OSError: then the file is as it was.
    """
    fresh = path.with_name(f"{path.name}.erasing")
    # Not by the descriptor at hand: what is open for appending is written at its end only.
    with _opened(path, os.O_WRONLY) as old, _opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as new:
        fcntl.flock(new, fcntl.LOCK_EX)
        try:
            _copy(descriptor, new, without)
            fresh.rename(path)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        with _opened(path.parent, os.O_RDONLY) as folder:
            os.fsync(folder)
        for start, length in without:
            os.pwrite(old, b" " * length, start)
        os.fsync(old)


def write_all(descriptor: int, data: bytes) -> None:
    """Write until nothing is left: a nearly full disk takes a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _copy(source: int, target: int, without: Sequence[tuple[int, int]]) -> None:
    was = os.fstat(source)
    os.fchmod(target, stat.S_IMODE(was.st_mode))
    os.fchown(target, was.st_uid, was.st_gid)
    at = 0
    for start, length in [*without, (was.st_size, 0)]:
        while at < start:
            piece = os.pread(source, min(BLOCK, start - at), at)
            write_all(target, piece)
            at += len(piece)
        at = start + length
    os.fsync(target)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
