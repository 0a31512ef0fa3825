"""What people do with Leadwire, whichever face they use: command line, console or API.

Every public method of `Operations` is a verb that all three offer; a test holds them together.
"""

from app.operations.base import NotPossible
from app.operations.configuration import Configuration
from app.operations.leads import MASK, PERSONAL
from app.operations.overview import Overview
from app.operations.people import People
from app.operations.problems import REMOVED
from app.operations.quarantine import Quarantine
from app.operations.reconciliation import Reconciliation
from app.operations.testing import Testing


class Operations(Overview, Quarantine, People, Reconciliation, Testing, Configuration):
    """All the verbs."""


__all__ = ["MASK", "PERSONAL", "REMOVED", "NotPossible", "Operations"]
