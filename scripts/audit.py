"""Ask whether a vulnerability is known of what is locked. Ends with 0: of nothing; 1: of something; 2: no answer.

pip-audit counts what the service does not know as well, which would also be so of a service that knows nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = ("runtime", "dev")
NONE, KNOWN, NO_ANSWER = 0, 1, 2


def main() -> int:
    """Ask about each lock, and say what came."""
    return max(_asked(name) for name in LOCKS)


def _asked(name: str) -> int:
    lock = f"requirements/{name}.txt"
    options = ("--requirement", lock, "--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off")
    command = [sys.executable, "-m", "pip_audit", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        print(f"{lock}: could not ask: {last[0]}", file=sys.stderr)
        return NO_ANSWER
    known = [(one, flaw) for one in packages for flaw in one.get("vulns", ())]
    for one, flaw in known:
        mended = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{lock}: {one['name']} {one['version']}: {flaw['id']}, mended in {mended}", file=sys.stderr)
    unanswered = [one["name"] for one in packages if "skip_reason" in one]
    if unanswered:
        print(f"{lock}: could not ask about {len(unanswered)} of {len(packages)} packages", file=sys.stderr)
    if not known and not unanswered:
        print(f"{lock}: nothing is known against {len(packages)} packages")
    return KNOWN if known else NO_ANSWER if unanswered else NONE


if __name__ == "__main__":
    sys.exit(main())
