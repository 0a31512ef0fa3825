"""Check the Dockerfile without a container engine: lint it, then run its install and start lines in a fresh folder.

What a build would do is done under a temporary folder, with this machine's Python in the place of the image's: the
build stage's RUN lines, then the start line as an unprivileged user who can write to the data folder only, the health
check, and the stop signal. What only an engine can do (base images, useradd) is not run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
USER = 10001


def instructions(text: str) -> list[tuple[str, str]]:
    """Give the Dockerfile's instructions in order, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def build(stage: list[tuple[str, str]], source: Path, prefix: Path) -> None:
    """Copy and run as the build stage says, with `/opt/leadwire` under `prefix`."""
    for word, rest in stage:
        if word == "COPY":
            *sources, target = rest.split()
            for name in sources:
                place = (
                    source / target if not target.endswith("/") and target != "." else source / target / Path(name).name
                )
                place.parent.mkdir(parents=True, exist_ok=True)
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, place)
        elif word == "RUN":
            command = rest.replace("/opt/leadwire", str(prefix)).replace("python -m venv", f"{sys.executable} -m venv")
            subprocess.run(["/bin/sh", "-euc", command], cwd=source, check=True, env={**os.environ, "PIP_QUIET": "2"})


def start(runtime: dict[str, str], prefix: Path, data: Path) -> None:
    """Start, ask the health check, stop with the stop signal."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [one.replace("8080", port) for one in json.loads(runtime["ENTRYPOINT"]) + json.loads(runtime["CMD"])]
    check = [one.replace("8080", port) for one in json.loads(runtime["HEALTHCHECK"].partition("CMD")[2])]
    environment = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "HOME": str(data), "PYTHONDONTWRITEBYTECODE": "1"}
    someone = as_somebody(prefix)
    if someone:
        os.chown(data, USER, USER)
    running = subprocess.Popen(command, cwd=data, env=environment, stderr=subprocess.STDOUT, **someone)  # type: ignore[call-overload]
    try:
        give_up = time.monotonic() + 30
        while subprocess.run(check, env=environment, check=False, capture_output=True).returncode:
            if time.monotonic() > give_up or running.poll() is not None:
                sys.exit("Dockerfile: the health check never became green")
            time.sleep(0.2)
        running.send_signal(getattr(signal, runtime["STOPSIGNAL"]))
        if running.wait(10) != 0:
            sys.exit(f"Dockerfile: {runtime['STOPSIGNAL']} ended it with {running.returncode}")
    finally:
        running.kill()
        running.wait()


def as_somebody(prefix: Path) -> dict[str, object]:
    """Give what makes a process somebody without rights; nothing where we have none to give, or a private Python."""
    someone = {"user": USER, "group": USER, "extra_groups": []}
    if os.geteuid() != 0:
        return {}
    try:
        subprocess.run([prefix / "bin/python", "-c", ""], check=True, **someone)  # type: ignore[call-overload]
    except (OSError, subprocess.CalledProcessError):
        print(f"Dockerfile: {sys.executable} is readable by its owner only, so the start line runs as this user")
        return {}
    return someone


def main() -> None:
    """Check, and say what is wrong by the exit status."""
    dockerfile = ROOT / "Dockerfile"
    subprocess.run([Path(sys.executable).with_name("hadolint"), dockerfile], check=True)
    found = instructions(dockerfile.read_text())
    second = [index for index, (word, _) in enumerate(found) if word == "FROM"][1]
    runtime = dict(found[second:])
    if runtime.get("USER") in (None, "root", "0") or runtime.get("WORKDIR") != "/data":
        sys.exit("Dockerfile: it must run as somebody else than root, in /data")
    with tempfile.TemporaryDirectory(prefix="leadwire-image-") as folder:
        source, prefix, data = (Path(folder) / name for name in ("src", "opt", "data"))
        Path(folder).chmod(0o755)
        source.mkdir()
        data.mkdir(mode=0o700)
        build(found[1:second], source, prefix)
        shutil.rmtree(source)  # what runs must not need the sources
        start(runtime, prefix, data)
        made = sorted(path.name for path in (data / "var").iterdir())
    print(f"Dockerfile: built, healthy, stopped by {runtime['STOPSIGNAL']}; made {', '.join(made)}")


if __name__ == "__main__":
    main()
