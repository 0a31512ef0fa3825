"""Where leads are kept: one schema and one code path on SQLite and PostgreSQL."""

from app.store.engine import Incompatible, Store, StoreUnavailable, is_fresh, open_store

__all__ = ["Incompatible", "Store", "StoreUnavailable", "is_fresh", "open_store"]
