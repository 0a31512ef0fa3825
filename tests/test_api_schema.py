"""`/openapi.json` against a running server: what it promises holds, whatever is sent."""

import itertools
import os
import re
import time
from collections import defaultdict

import pytest
import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from app.access import Access
from app.store import open_store
from app.store.acts import Who
from app.store.problems import ProblemLog
from app.store.sorting import Sorter
from app.wiring import utc_now
from tests.parts.arrivals import held, outbox, settle
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
            # Ids seen in answers are not taken: among them is that of the token which all this is done with.
            "phases": {
                "stateful": {"enabled": False},
                "coverage": {"extra-data-sources": {"responses": False}},
                "fuzzing": {"extra-data-sources": {"responses": False}},
            },
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
    """Put in a lead at a parked destination, with its problem; gives a token, and what gives parts of paths by topic.

    Nothing works meanwhile, so that it all stays; it only looks as if a worker did.
    """
    lead = server.post(documented(1)).json()["id"]
    store, now = open_store(f"sqlite:///{server.folder}/var/leadwire.db"), round(time.time() * 1000)
    Sorter(store).finish()
    settle(store, held, destination="archive", now=now)
    outbox(store).beat(now=now + 3_600_000)
    (problem,) = ProblemLog(store).open_rows().values()
    access, who = Access(store, None, utc_now), Who("cli:someone")
    _, token = access.new_token("fuzz", "operator", who=who)
    other, _ = access.new_token("other", "reader", who=who)
    store.close()
    bearer = {"Authorization": f"Bearer {token}"}
    (source,) = requests.get(f"{server.url}/api/v1/addresses", headers=bearer, timeout=10).json()["addresses"]
    return token, {
        "leads": lambda: {"id": lead},
        "quarantine": lambda: {"id": server.post({"country": "US"}).json()["quarantine_id"]},  # one may be given up
        "problems": lambda: {"id": problem.id, "step": 1},
        "tokens": lambda: {"id": other},
        "destinations": lambda: {"name": "archive"},
        "addresses": lambda: {"source": "marketplace", "fingerprint": source["keys"][0]["fingerprint"]},
    }


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_every_promise_of_the_document_holds(server):
    with server.config.open("a") as config:
        config.write('[console]\nenabled = false\n[alerts]\nwebhook = "env:HOOK"\n')
    server.environment["HOOK"] = "http://127.0.0.1:9/"  # nobody is there
    server.start("--no-worker")
    token, known = filled(server)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=configured(token))
    faults, statuses = tried(schema, known)
    assert not faults, "\n\n".join(faults)
    described = [(one.ok().label, set(one.ok().responses.status_codes)) for one in schema.get_all_operations()]
    unseen = [label for label, codes in described if not any(str(code) in codes for code in seen_good(label, statuses))]
    # The body is no lead, and made-up text no export: 409 is the right answer.
    assert unseen == ["POST /api/v1/quarantine/{id}/release", "POST /api/v1/reconciliations"]
    assert {400, 404, 409, 415, 422} <= {status for _, status in statuses}


def seen_good(label, statuses):
    return {status for seen, status in statuses if seen == label and 200 <= status < 300}


def tried(schema, known):
    """Run it all; gives what was wrong in words, and which statuses each endpoint answered with."""
    every_other = defaultdict(lambda: itertools.cycle([True, False]))

    @schema.hook
    def map_path_parameters(context, path_parameters):
        """Every other path leads to something that exists: else nothing but 404 would be seen."""
        topic = context.operation.path.split("/")[3:4]
        if path_parameters and is_well_formed(*topic, path_parameters) and next(every_other[context.operation.label]):
            path_parameters |= known[topic[0]]()
        return path_parameters

    faults, statuses = [], set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            faults += told(event)
            statuses |= answered(event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            faults.append(f"{event.label}: {event.value!r}" if isinstance(event, events.NonFatalError) else repr(event))
    return faults, statuses


def is_well_formed(topic, parts):
    """What is wrong on purpose must stay so."""
    is_id = topic == "tokens" or re.fullmatch("[0-9a-fA-F-]{36}", str(parts.get("id", "0" * 36)))
    return is_id and re.fullmatch("[0-9]{1,2}", str(parts.get("step", 1))) and all(parts.values())


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
