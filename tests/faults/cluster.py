"""A PostgreSQL of our own in a temporary folder, which may be restarted, killed, and followed by its standby."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.parts.server import free_port, until, with_kill

OWNER = "postgres"  # PostgreSQL refuses to run as root, and is then run as this user
STARTS_WITHIN = 60


class Cluster:
    """One data folder and its server."""

    def __init__(self, folder: Path, port: int) -> None:
        """Take a folder that OWNER may write, made by `new` or `standby`."""
        self.folder, self.port = folder, port
        self.standby: Cluster | None = None
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    def new(cls) -> Self:
        """Make an empty cluster."""
        folder = Path(tempfile.mkdtemp(prefix="leadwire-faults-postgresql-"))
        if os.geteuid() == 0:
            owner = pwd.getpwnam(OWNER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        _run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", folder / "data")
        return cls(folder / "data", free_port())

    @property
    def url(self) -> str:
        """The database, straight."""
        return self.url_at(self.port)

    @staticmethod
    def url_at(port: int) -> str:
        """The database by another port."""
        return f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["-p", self.port, "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        command = [_program("postgres"), "-D", self.folder, *options]
        with (self.folder / "log").open("ab") as log:
            # A child of ours, so that it is not still there, dead, when it is started again.
            self._server = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, cwd="/", **_as_owner())
        if not until(self._answers, seconds=STARTS_WITHIN):
            message = f"PostgreSQL does not start:\n{(self.folder / 'log').read_text()[-1000:]}"
            raise RuntimeError(message)

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def restart(self) -> None:
        """Stop it as an administrator would, every connection broken, and start it again."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        self._server.wait(STARTS_WITHIN)
        self.start()

    def kill(self) -> None:
        """Kill -9 the server and everything of it."""
        for pid in self._processes():
            with_kill(pid)
        if self._server is not None:
            self._server.wait(STARTS_WITHIN)
        until(lambda: not self._processes(), seconds=10)

    def follow(self) -> Cluster:
        """Make a standby to which every commit goes before it counts."""
        self.standby = standby = Cluster(self.folder.with_name("standby"), free_port())
        _run("pg_basebackup", "-d", self.url, "-D", standby.folder, "-R", "--checkpoint=fast", "--no-sync")
        standby.start()
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.sql("SELECT pg_reload_conf()")
        follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        assert until(lambda: self.sql(follows) == 1, seconds=30), "the standby does not follow"
        return standby

    def promote(self) -> None:
        """Make a standby the one that is written."""
        _run("pg_ctl", "-D", self.folder, "-w", "promote")

    def sql(self, statement: str) -> object:
        """Run a statement; gives the first value of its answer."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def _processes(self) -> list[int]:
        pids, whole = [], str(self.folder)
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (entry / "cwd").readlink() == Path(whole):  # each of its processes lives in its folder
                    pids.append(int(entry.name))
        return pids

    def remove(self) -> None:
        """End it and everything beside it."""
        if self.standby is not None:
            self.standby.kill()
        self.kill()
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def _run(program: str, *arguments: object) -> None:
    """Run a program of PostgreSQL's as its owner.

    Raises:
        RuntimeError: it failed, with what it said; or PostgreSQL is not there.

    """
    command = [_program(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **_as_owner())
    if done.returncode:
        message = f"{program} failed: {done.stderr[-1000:]}"
        raise RuntimeError(message)


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    path = str(found[0]) if found else shutil.which(name)
    if path is None:
        message = f"PostgreSQL's {name} is missing: sh scripts/parts.sh"
        raise RuntimeError(message)
    return path


def _as_owner() -> dict[str, Any]:
    return {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
