"""The console: the pages that people look at. `guards` says who may see them, `shown` how things are written."""

from app.web.console.shell import install

__all__ = ["install"]
