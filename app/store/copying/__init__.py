"""Moving a store that is in use from SQLite to PostgreSQL."""

from app.store.copying.copy import Copy, CopyFault, abandon

__all__ = ["Copy", "CopyFault", "abandon"]
