"""The `email` destination: one mail a lead, a digest when many come, nothing personal unless asked for."""

from app.destinations.email.destination import Email

__all__ = ["Email"]
