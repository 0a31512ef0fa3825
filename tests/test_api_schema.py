"""`/openapi.json` against the real application: what it promises holds, whatever is sent."""

import contextlib
import itertools
import os
import threading

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from werkzeug.serving import make_server

from tests.parts.arrivals import held, outbox, settle
from tests.test_api import KEY, LEAD, Site

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


@pytest.fixture
def site(tmp_path, monkeypatch, sqlite_url):
    """Something of everything: a lead at a parked destination with its problem, and a quarantined body."""
    monkeypatch.setenv("KEY_A", KEY)
    made = Site(tmp_path, sqlite_url)
    outbox(made.store).beat(now=made.now_ms() + 3_600_000)  # so that it is ready as long as this lasts
    yield made
    made.close()


def known_ids(site):
    """Half of the ids exist: else nothing but 404 would be seen."""
    lead, body = site.lead(), site.quarantined()
    settle(site.store, held, destination="archive", now=site.now_ms())
    return itertools.cycle([None, lead, None, body, None, site.problem()])


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_every_promise_of_the_document_holds(site):
    with over_http(site.app) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=configured(site.token("operator")))
        faults, statuses = tried(schema, known_ids(site))
    assert not faults, "\n\n".join(faults)
    assert len({label for label, _ in statuses}) == sum(1 for _ in schema.get_all_operations())
    assert {200, 201, 202, 204, 400, 404, 409, 415, 422} <= {status for _, status in statuses}


@contextlib.contextmanager
def over_http(app):
    """schemathesis' engine speaks to real servers only."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


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
