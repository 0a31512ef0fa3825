"""Fixtures that every test may use."""

pytest_plugins = ["tests.parts.azurite", "tests.parts.postgres", "tests.parts.server", "tests.parts.smtp"]
