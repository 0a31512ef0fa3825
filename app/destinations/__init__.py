"""The destinations Leadwire comes with, and those that other packages add.

One that lives in another package registers a class by the entry-point group `leadwire.destinations`, under the
type's name, and comes through the same door.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from app.destinations.base import Destination

GROUP = "leadwire.destinations"

# type → module:class; imported when configured, so that nobody pays for an SDK that isn't used.
REGISTRY = {
    "azure_table": "app.destinations.azure_table:AzureTable",
    "dynamics": "app.destinations.dynamics:Dynamics",
    "email": "app.destinations.email:Email",
    "file": "app.destinations.file:File",
    "salesforce": "app.destinations.salesforce:Salesforce",
}


class UnknownType(KeyError):  # noqa: N818  (it is what it is)
    """No destination of that type is known."""


def types() -> list[str]:
    """Name every known type."""
    return sorted({*REGISTRY, *(one.name for one in entry_points(group=GROUP))})


def load_type(name: str) -> type[Destination]:
    """Give the class of a type.

    Raises:
        UnknownType: there is none.

    """
    if name in REGISTRY:
        module, _, attribute = REGISTRY[name].partition(":")
        return cast("type[Destination]", getattr(import_module(module), attribute))
    for one in entry_points(group=GROUP, name=name):
        return cast("type[Destination]", one.load())
    raise UnknownType(name)
