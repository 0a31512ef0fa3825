"""Console, command line and API are three faces of the same operations: what one does, the others do as well."""

import ast
import inspect
import json
from pathlib import Path

import pytest

from app.operations import Operations
from app.store.searching import Filter
from app.store.tables import audit
from app.web import make_app
from tests.parts.arrivals import rows, unreadable
from tests.parts.server import Server

FACES = {"command line": "app/cli", "console": "app/web/console", "API": "app/web/api"}
# What a face has no use for, and why.
EXCEPT = {
    ("figures", "console"): "numbers for machines; people get the overview",
    ("figures", "API"): "/metrics has them",
    ("worker_silent_for", "API"): "part of the overview",
    ("destinations", "console"): "part of the overview",
    ("destinations", "command line"): "part of the overview",
    ("quarantined_count", "command line"): "part of the overview",
}


def verbs():
    found = inspect.getmembers(Operations, inspect.isfunction)
    return sorted(name for name, _ in found if not name.startswith("_"))


def used(folder):
    """Every attribute that the modules of a face call or read."""
    names = set()
    for path in Path(folder).rglob("*.py"):
        tree = ast.parse(path.read_text())
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names


@pytest.mark.parametrize("face", FACES)
def test_every_verb_has_its_place_in_every_face(face):
    there = used(FACES[face])
    missing = [verb for verb in verbs() if verb not in there and (verb, face) not in EXCEPT]
    assert missing == [], f"{face} does not offer these: {missing}"


def test_the_exceptions_are_verbs_that_are_missing_indeed():
    for verb, face in EXCEPT:
        assert verb in verbs()
        assert verb not in used(FACES[face]), f"{face} offers {verb} now"
