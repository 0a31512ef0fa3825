"""The Azure Table destination against answers that Azurite can't be made to give, in the wire's own format.

The bodies are the service's documented ones; the form of a batch answer is as Azurite and the service write it. They
are put in place of the network below the SDK.
"""

import json
import re
from datetime import timedelta

import pytest
import responses

from app.destinations.base import DeliveryFailed, Sent
from tests.parts.azurite import KEY, NOON, parcel

ACCOUNT = "https://contosoleads.table.core.windows.net"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=contosoleads;AccountKey={KEY};EndpointSuffix=core.windows.net"
JSON = "application/json;odata=minimalmetadata;streaming=true;charset=utf-8"
ABOUT = "\nRequestId:b735cb6b-3a1f-4256-b8d9-7292b93b488f\nTime:2026-11-21T01:24:42.6080000Z"
HTML = "<!DOCTYPE html><html><body><h1>Sign in to the guest network</h1></body></html>"
REASONS = {400: "Bad Request", 404: "Not Found", 409: "Conflict", 412: "Precondition Failed", 413: "Too Large"}


def odata(code, message):
    value = {"lang": "en-US", "value": message + ABOUT}
    return json.dumps({"odata.error": {"code": code, "message": value}})


def xml(code, message):
    head = '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
    space = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"
    text = f'<message xml:lang="en-US">{message}{ABOUT}</message>'
    return f'{head}<error xmlns="{space}"><code>{code}</code>{text}</error>'


def refusal(status, code, message, **headers):
    """An error that is the answer to the whole call."""
    return status, {"Content-Type": JSON, "x-ms-error-code": code, **headers}, odata(code, message)


def batch(*parts):
    """A batch answer with these parts."""
    lines = ["--batchresponse_1", "Content-Type: multipart/mixed; boundary=changesetresponse_1", ""]
    for part in parts:
        lines += ["--changesetresponse_1", "Content-Type: application/http", "Content-Transfer-Encoding: binary", ""]
        lines += [part]
    lines += ["--changesetresponse_1--", "--batchresponse_1--", ""]
    return 202, {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}, "\r\n".join(lines)


def written(names):
    etag = "W/\"datetime'2026-11-21T01%3A24%3A42.6408274Z'\""
    part = f"HTTP/1.1 204 No Content\r\nDataServiceVersion: 1.0;\r\nETag: {etag}\r\n\r\n"
    return batch(*[part for _ in names])


def refused_part(status, code, message):
    """A batch answer that says which of its operations spoiled it: one part, whatever was sent."""
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\nDataServiceVersion: 3.0;\r\nContent-Type: {JSON}"
    return batch(f"{head}\r\n\r\n{odata(code, message)}")


class Service:
    """A table service that answers as the test says: `rule` gets the RowKeys of a batch, in order."""

    def __init__(self, wire):
        self.batches = []
        self.rule = written
        wire.add_callback("POST", f"{ACCOUNT}/$batch", callback=self._batch)
        self.created = wire.add("POST", f"{ACCOUNT}/Tables", status=201, json={"TableName": "MarketplaceLeads"})

    def _batch(self, request):
        names = re.findall(r"^PATCH \S+RowKey='([^']+)'\) HTTP/1\.1\r$", request.body.decode(), re.MULTILINE)
        self.batches.append(names)
        status, headers, body = self.rule(names)
        return status, headers, body


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def service(wire):
    return Service(wire)


@pytest.fixture
def table(table_at):
    return table_at(CONNECTION, table="MarketplaceLeads")


def failures(outcomes):
    return [(one.code, one.status) for one in outcomes if isinstance(one, DeliveryFailed)]


def bad(name, status, code):
    """Refuse every batch that holds `name`, as the service names it: by its place."""

    def rule(names):
        if name not in names:
            return written(names)
        return refused_part(status, code, f"{names.index(name)}:The entity is refused.")

    return rule


WHOLE = [
    refusal(403, "AuthenticationFailed", "Server failed to authenticate the request."),
    refusal(403, "AuthorizationFailure", "This request is not authorized to perform this operation."),
    refusal(403, "KeyBasedAuthenticationNotPermitted", "Key based authentication is not permitted on this account."),
    refusal(409, "TableBeingDeleted", "The specified table is being deleted. Try operation later."),
    refusal(500, "OperationTimedOut", "Operation could not be completed within the specified time."),
    refusal(500, "InternalError", "Server encountered an internal error. Please try again after some time."),
    refusal(503, "ServerBusy", "The server is busy."),
]


@pytest.mark.parametrize("answer", WHOLE, ids=lambda answer: answer[1]["x-ms-error-code"])
def test_a_refusal_of_the_whole_call_is_every_leads_after_one_request(service, table, answer):
    """One call, no retry, and the next day's leads are not tried against the same wall."""
    service.rule = lambda _: answer
    batch_of_two_days = [parcel(1), parcel(2), parcel(3, at=NOON + timedelta(days=1))]
    outcomes = table.send(batch_of_two_days)
    assert failures(outcomes) == [(answer[1]["x-ms-error-code"], answer[0])] * 3
    assert service.batches == [["lead-001", "lead-002"]]


@pytest.mark.parametrize(
    "body",
    [
        odata("TableBeingDeleted", "The specified table is being deleted."),
        xml("TableBeingDeleted", "The specified table is being deleted."),
        "",
        HTML,
    ],
    ids=["json", "xml", "header only", "page"],
)
def test_the_code_is_read_from_the_body_or_the_header(service, table, body):
    kind = "application/json" if body.startswith("{") else "text/html" if body == HTML else "application/xml"
    service.rule = lambda _: (409, {"Content-Type": kind, "x-ms-error-code": "TableBeingDeleted"}, body)
    assert failures(table.send([parcel(1)])) == [("TableBeingDeleted", 409)]


def test_the_services_words_are_kept_for_recognition(service, table):
    service.rule = lambda _: refusal(403, "AuthenticationFailed", "Server failed to authenticate the request.")
    [outcome] = table.send([parcel(1)])
    assert outcome.detail.startswith("Server failed to authenticate the request.")


@pytest.mark.parametrize(
    ("header", "seconds"), [("30", 30.0), ("Fri, 28 Sep 2018 12:02:00 GMT", 120.0), ("soon", None)]
)
def test_a_busy_server_says_how_long_to_wait(service, table, header, seconds):
    service.rule = lambda _: refusal(503, "ServerBusy", "The server is busy.", **{"Retry-After": header})
    [outcome] = table.send([parcel(1)])
    assert outcome.retry_after == seconds


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "EntityTooLarge"),
        (400, "PropertyValueTooLarge"),
        (400, "OutOfRangeInput"),
        (409, "EntityAlreadyExists"),
        (412, "UpdateConditionNotSatisfied"),
    ],
)
def test_one_refused_lead_fails_alone_and_its_neighbours_arrive(service, table, status, code):
    service.rule = bad("lead-003", status, code)
    outcomes = table.send([parcel(number) for number in range(1, 6)])
    assert failures(outcomes) == [(code, status)]
    assert isinstance(outcomes[2], DeliveryFailed)
    assert [outcomes[place] for place in (0, 1, 3, 4)] == [
        Sent(f"9:2F28:2F2018/lead-00{number}") for number in (1, 2, 4, 5)
    ]
    assert service.batches == [
        ["lead-001", "lead-002", "lead-003", "lead-004", "lead-005"],
        ["lead-001", "lead-002", "lead-004", "lead-005"],
    ]


def test_two_refused_leads_of_one_call_fail_each_with_its_own_code(service, table):
    first, second = bad("lead-001", 400, "EntityTooLarge"), bad("lead-003", 400, "PropertyNameInvalid")
    service.rule = lambda names: first(names) if "lead-001" in names else second(names)
    outcomes = table.send([parcel(number) for number in range(1, 4)])
    assert failures(outcomes) == [("EntityTooLarge", 400), ("PropertyNameInvalid", 400)]
    assert outcomes[1] == Sent("9:2F28:2F2018/lead-002")


def test_a_refused_lead_does_not_stop_the_next_day(service, table):
    service.rule = bad("lead-001", 400, "EntityTooLarge")
    outcomes = table.send([parcel(1), parcel(2, at=NOON + timedelta(days=1))])
    assert failures(outcomes) == [("EntityTooLarge", 400)]
    assert outcomes[1] == Sent("9:2F29:2F2018/lead-002")


@pytest.mark.parametrize("message", ["The batch is refused.", "7:The entity is refused.", "", "x:The entity"])
def test_a_refusal_that_names_no_lead_of_the_call_is_everyones(service, table, message):
    """The SDK's own `index` would blame the first one."""
    service.rule = lambda _: refused_part(400, "InvalidInput", message)
    assert failures(table.send([parcel(1), parcel(2)])) == [("InvalidInput", 400)] * 2
    assert len(service.batches) == 1


def test_a_table_being_deleted_is_nobodys_fault_though_the_service_names_a_lead(service, table):
    service.rule = lambda _: refused_part(409, "TableBeingDeleted", "0:The specified table is being deleted.")
    assert failures(table.send([parcel(1), parcel(2)])) == [("TableBeingDeleted", 409)] * 2
    assert len(service.batches) == 1


def test_a_call_too_large_is_sent_in_halves(service, table):
    """Down to the one lead that is too large by itself."""
    too_large = refusal(413, "RequestBodyTooLarge", "The request body is too large.")
    service.rule = lambda names: too_large if len(names) > 2 or "lead-004" in names else written(names)
    outcomes = table.send([parcel(number) for number in range(1, 6)])
    assert failures(outcomes) == [("RequestBodyTooLarge", 413)]
    assert isinstance(outcomes[3], DeliveryFailed)
    assert [len(names) for names in service.batches] == [5, 2, 3, 1, 2, 1, 1]


def test_a_part_that_is_too_large_is_sent_in_halves_too(service, table):
    too_large = refused_part(413, "RequestBodyTooLarge", "0:The request body is too large.")
    service.rule = lambda names: too_large if len(names) > 1 else written(names)
    assert table.send([parcel(1), parcel(2)]) == [Sent(f"9:2F28:2F2018/lead-00{number}") for number in (1, 2)]


MISSING = refused_part(404, "TableNotFound", "0:The table specified does not exist.")


def test_a_missing_table_is_created_once_and_the_leads_sent_once_more(service, table):
    service.rule = lambda names: written(names) if service.created.call_count else MISSING
    assert table.send([parcel(1)]) == [Sent("9:2F28:2F2018/lead-001")]
    assert (len(service.batches), service.created.call_count) == (2, 1)


def test_a_table_that_stays_missing_is_a_failure_and_no_loop(service, table):
    service.rule = lambda _: MISSING
    assert failures(table.send([parcel(1), parcel(2)])) == [("TableNotFound", 404)] * 2
    assert (len(service.batches), service.created.call_count) == (2, 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refusal(409, "TableAlreadyExists", "The table specified already exists."), []),
        (
            refusal(409, "TableBeingDeleted", "The specified table is being deleted. Try operation later."),
            [("TableBeingDeleted", 409)],
        ),
        (refusal(403, "AuthorizationPermissionMismatch", "Not this."), [("AuthorizationPermissionMismatch", 403)]),
        ((409, {"Content-Type": "text/html"}, HTML), [(None, 409)]),
        ((409, {"Content-Type": "application/json"}, '{"odata.error": 7}'), [(None, 409)]),
        ((307, {"Content-Type": "text/html", "Location": f"{ACCOUNT}/elsewhere"}, ""), [(None, 307)]),
    ],
)
def test_only_a_table_that_exists_counts_as_created(service, wire, table, answer, expected):
    """Someone else may have been faster; a table being deleted has the same status and is not there."""
    status, headers, body = answer
    kind = headers["Content-Type"]
    rest = {name: value for name, value in headers.items() if name != "Content-Type"}
    wire.replace("POST", f"{ACCOUNT}/Tables", status=status, headers=rest, body=body, content_type=kind)
    service.rule = lambda names: written(names) if len(service.batches) > 1 else MISSING
    assert failures(table.send([parcel(1)])) == expected


MULTIPART = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {"Content-Type": "text/html"}, HTML), (None, 200)),
        ((202, {"Content-Type": "text/html"}, HTML), (None, 202)),
        ((202, dict(MULTIPART), HTML), (None, 202)),
        ((202, dict(MULTIPART), ""), (None, 202)),
        (batch(), (None, 202)),
        (written("one"[:1]), (None, 202)),
        (written("one two"), (None, 202)),
        (batch("no status line"), (None, 202)),
        (batch("HTTP/1.1 999 \r\n\r\n"), (None, 999)),
        ((202, {"Content-Type": "multipart/mixed"}, written("ab")[2]), (None, 202)),
        ((204, {"Content-Type": JSON}, ""), (None, 204)),
        ((201, {"Content-Type": JSON}, "{}"), (None, 201)),
        ((302, {"Content-Type": "text/html", "Location": f"{ACCOUNT}/elsewhere"}, ""), (None, 302)),
        ((307, {"Content-Type": "text/html", "Location": f"{ACCOUNT}/elsewhere"}, ""), (None, 307)),
        ((308, {"Content-Type": "text/html", "Location": f"{ACCOUNT}/elsewhere"}, ""), (None, 308)),
        ((407, {"Content-Type": "text/html"}, HTML), (None, 407)),
        ((418, {"Content-Type": "application/json"}, "[1]"), (None, 418)),
        ((500, {"Content-Type": "application/json"}, '{"odata.error": 7}'), (None, 500)),
        ((500, {"Content-Type": "application/xml"}, "<error><code>"), (None, 500)),
        ((502, {"Content-Type": "text/html"}, HTML), (None, 502)),
    ],
)
def test_whatever_is_not_a_whole_batch_answer_is_a_failure(service, wire, table, answer, expected):
    """A page, a redirect, too few or too many parts: never taken for a delivery, never followed, never a crash."""
    service.rule = lambda _: answer
    assert failures(table.send([parcel(1), parcel(2)])) == [expected] * 2
    assert len(wire.calls) == 1


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, odata("AuthorizationPermissionMismatch", "Not this."), ("AuthorizationPermissionMismatch", 403)),
        (200, HTML, (None, 200)),
        (200, '{"value": 7}', (None, 200)),
        (500, '{"odata.error": 7}', (None, 500)),
        (307, "", (None, 307)),
        (503, odata("ServerBusy", "The server is busy."), ("ServerBusy", 503)),
    ],
)
def test_check_finds_what_reading_runs_into(wire, table, status, body, expected):
    wire.add("GET", f"{ACCOUNT}/MarketplaceLeads()", status=status, body=body, content_type=JSON)
    with pytest.raises(DeliveryFailed) as caught:
        table.check()
    assert failures([caught.value]) == [expected]


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AuthorizationPermissionMismatch"), (403, "AuthorizationFailure"), (409, "TableBeingDeleted")],
)
def test_check_finds_that_writing_is_not_allowed(wire, table, status, code):
    """A reader's role passes the first half."""
    wire.add("GET", f"{ACCOUNT}/MarketplaceLeads()", json={"value": []}, content_type=JSON)
    probe = wire.add("PATCH", re.compile(re.escape(ACCOUNT)), status=status, body=odata(code, "No."), content_type=JSON)
    with pytest.raises(DeliveryFailed) as caught:
        table.check()
    assert failures([caught.value]) == [(code, status)]
    assert probe.calls[0].request.headers["If-Match"].startswith("W/")


@pytest.mark.parametrize("answer", [*WHOLE, MISSING, refused_part(400, "EntityTooLarge", "0:Some One")])
def test_no_outcome_shows_a_person_or_a_secret(service, table, answer):
    """Not even where the service repeats what it was sent."""
    status, headers, body = answer
    service.rule = lambda _: (status, dict(headers), body.replace("The ", f"Some One someone@contoso.com {KEY} "))
    for outcome in table.send([parcel(1)]):
        shown = str(outcome) + repr(outcome)
        assert not [word for word in ("Some", "someone", "16175555555", KEY, "Esquire") if word in shown]
        assert outcome.__context__ is None
