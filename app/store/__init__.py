"""Where leads are kept: one schema and one code path on SQLite and PostgreSQL."""

from app.store.engine import Store, StoreUnavailable, is_fresh, open_store

__all__ = ["Store", "StoreUnavailable", "is_fresh", "open_store"]
