"""`make demo`, without anybody at the keyboard."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.usefixtures("azurite")  # says what is missing where the demo's own Azurite can't be started either
def test_the_demo_shows_delivery_the_problem_the_fix_and_the_drain():
    done = subprocess.run(
        [sys.executable, "scripts/demo.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    story = ["crm: sent", "“Test Microsoft: Contact me", "dynamics.no-security-role", "3 waiting", "crm: held"]
    story += ["No problems: nothing is held", "Dynamics 365: 5 leads"]
    at = 0
    for step in story:
        at = done.stdout.find(step, at)
        assert at >= 0, step
