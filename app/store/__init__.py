"""Where leads are kept: one schema and one code path on SQLite and PostgreSQL."""

from app.store.engine import Store, StoreUnavailable, open_store

__all__ = ["Store", "StoreUnavailable", "open_store"]
