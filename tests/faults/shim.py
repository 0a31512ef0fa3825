"""What is preloaded into the processes under test: its page of memory, and the steps at which it can strike."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
SIZE = 4096
# Offset and form of each word, as in shim.c.
WORDS = {
    "clock_ns": (0, "q"),
    "wal_end": (8, "q"),
    "wal_synced": (16, "q"),
    "disk_error": (24, "i"),
    "disk_one_in": (28, "i"),
    "short_one_in": (32, "i"),
    "no_names": (36, "i"),
    "step": (40, "i"),
    "step_signal": (44, "i"),
    "struck": (48, "i"),
    "failed": (52, "i"),
}


class Step(IntEnum):
    """A moment in a lead's life, each a system call; as in shim.c."""

    BEFORE_WRITING = 1
    HALF_WRITTEN = 2
    WRITTEN = 3
    ON_DISK = 4
    CLAIMED = 5
    HALF_SENT = 6
    SENT = 7
    RECORDING = 8
    RECORDED = 9
    COMMIT_SENT = 10


# What each is, in the order of a lead's life, and on which database there is such a moment.
MEANING = {
    Step.BEFORE_WRITING: "a commit before its first page is written",
    Step.HALF_WRITTEN: "after the insert: some pages of a commit are written",
    Step.WRITTEN: "before the commit: everything is written, nothing is on disk (PostgreSQL: before COMMIT is sent)",
    Step.COMMIT_SENT: "COMMIT is sent, its answer is not read",
    Step.ON_DISK: "after the commit, before the sender is answered",
    Step.CLAIMED: "claimed, before anything is sent",
    Step.HALF_SENT: "in the middle of sending: half a line is in the file",
    Step.SENT: "after the send",
    Step.RECORDING: "after the send, before the record",
    Step.RECORDED: "after the record",
}
STEPS = {
    "sqlite": tuple(step for step in MEANING if step is not Step.COMMIT_SENT),
    "postgresql": tuple(step for step in MEANING if step not in {Step.BEFORE_WRITING, Step.HALF_WRITTEN}),
}


class Page:
    """The shared page; its words are attributes."""

    def __init__(self, folder: Path) -> None:
        """Make the page and the library in `folder`; needs a C compiler."""
        compiler = shutil.which("cc")
        if compiler is None:
            message = "a C compiler (cc) is missing, which makes the shim: sh scripts/parts.sh faults"
            raise RuntimeError(message)
        self.path, self.library = folder / "page", folder / "shim.so"
        self.path.write_bytes(bytes(SIZE))
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", self.library, SOURCE, "-ldl"], check=True)
        with self.path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be under it."""
        return {"LD_PRELOAD": str(self.library), "FAULTS_PAGE": str(self.path)}

    def get(self, name: str) -> int:
        """Read a word."""
        at, form = WORDS[name]
        return int(struct.unpack_from(form, self._memory, at)[0])

    def put(self, **words: int) -> None:
        """Write words."""
        for name, value in words.items():
            at, form = WORDS[name]
            struct.pack_into(form, self._memory, at, value)

    def calm(self) -> None:
        """End every fault but the clock's."""
        self.put(step=0, disk_error=0, disk_one_in=0, short_one_in=0, no_names=0)
