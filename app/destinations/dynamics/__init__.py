"""Dynamics 365: one lead a delivery in the leads table of a Dataverse environment, by its Web API (v9.2)."""

from app.destinations.dynamics.destination import Dynamics

__all__ = ["Dynamics"]
