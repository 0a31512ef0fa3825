"""The real parts that tests talk to, one module each: fixtures that start them and stop them."""

import os
from typing import NoReturn

import pytest


def unavailable(part: str, mend: str) -> NoReturn:
    """A part that can't be had: a failure where CI=true, a loud skip on a laptop."""
    message = f"{part} can't be had here: {mend}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
