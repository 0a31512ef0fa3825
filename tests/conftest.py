"""Fixtures that every test may use."""

import pytest
import structlog

pytest_plugins = [
    "tests.parts.azurite",
    "tests.parts.browser",
    "tests.parts.postgres",
    "tests.parts.server",
    "tests.parts.hosts",  # after the server, of which a host is one
    "tests.parts.smtp",
]


@pytest.fixture(autouse=True)
def _logging_as_it_was():
    """A command that ran inside an earlier test configured logging for its own process."""
    structlog.reset_defaults()
