"""Azure Table storage: one row a lead, in the columns that Microsoft's own lead writer uses."""

from app.destinations.azure_table.destination import AzureTable

__all__ = ["AzureTable"]
