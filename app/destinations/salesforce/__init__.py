"""Salesforce: a lead becomes a record of the Lead object, up to 200 of them in one call."""

from app.destinations.salesforce.destination import Salesforce

__all__ = ["Salesforce"]
