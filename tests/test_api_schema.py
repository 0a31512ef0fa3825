"""`/openapi.json` against a running server: what it promises holds, whatever is sent."""

import itertools
import os
import time

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from app.access import Access
from app.store import open_store
from app.store.acts import Who
from app.store.problems import ProblemLog
from app.wiring import utc_now
from tests.parts.arrivals import held, settle
from tests.parts.server import KEY
from tests.parts.server import lead as documented

EXAMPLES = int(os.environ.get("LEADWIRE_SCHEMA_EXAMPLES", "5"))  # an endpoint; what stands at a bound is tried beside


def configured(token):
    return SchemathesisConfig.from_dict(
        {
            "seed": 4,
            "headers": {"Authorization": f"Bearer {token}"},
            "continue-on-failure": True,
            "generation": {"max-examples": EXAMPLES, "database": "none"},
            "phases": {"stateful": {"enabled": False}},
            "operations": [
                {
                    "include-path": "/leads",
                    "headers": {"Authorization": f"Bearer {KEY}"},
                    # Which JSON is a lead no schema can say: any is taken in, and what is none is answered with 422.
                    "checks": {"positive_data_acceptance": {"enabled": False}},
                }
            ],
        }
    )


def filled(server):
    """A lead at a parked destination with its problem, and a quarantined body; gives a token, and ids without end.

    Half of the ids exist: else nothing but 404 would be seen.
    """
    lead = server.post(documented(1)).json()["id"]
    body = server.post({"country": "US"}).json()["quarantine_id"]
    store = open_store(f"sqlite:///{server.folder}/var/leadwire.db")
    settle(store, held, destination="archive", now=round(time.time() * 1000))
    (problem,) = ProblemLog(store).open_rows().values()
    _, token = Access(store, None, utc_now).new_token("fuzz", "operator", who=Who("cli:someone"))
    store.close()
    return token, itertools.cycle([None, lead, None, body, None, problem.id])


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_every_promise_of_the_document_holds(server):
    with server.config.open("a") as config:
        config.write("[console]\nenabled = false\n")
    server.start("--no-worker")
    token, ids = filled(server)
    server.stop()
    server.start()
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=configured(token))
    faults, statuses = tried(schema, ids)
    assert not faults, "\n\n".join(faults)
    assert len({label for label, _ in statuses}) == sum(1 for _ in schema.get_all_operations())
    assert {200, 201, 202, 204, 400, 404, 409, 415, 422} <= {status for _, status in statuses}


def tried(schema, ids):
    """Run it all; gives what was wrong in words, and which statuses each endpoint answered with."""

    @schema.hook
    def map_path_parameters(_, path_parameters):
        if "id" in (path_parameters or {}) and (known := next(ids)) is not None:
            path_parameters["id"] = known
        return path_parameters

    faults, statuses = [], set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            faults += told(event)
            statuses |= answered(event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            faults.append(f"{event.label}: {event.value!r}" if isinstance(event, events.NonFatalError) else repr(event))
    return faults, statuses


def told(event):
    """Each failed check in words, with the request that failed."""
    for id_, checks in event.recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                case = event.recorder.cases[id_].value
                yield f"{event.label} {check.name}: {check.failure_info.failure}\n{case.as_curl_command()}"


def answered(event):
    found = event.recorder.interactions.values()
    return {(event.label, one.response.status_code) for one in found if one.response is not None}
