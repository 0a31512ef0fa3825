"""Tokens of Entra: every way msal can fail ends in `DeliveryFailed` with the service's own code."""

import http.server
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
import requests
import responses

from app.destinations.base import DeliveryFailed, http_session
from app.destinations.entra import EntraToken
from app.settings import Secret
from tests.standins.graph import AUTHORITY, CLIENT, TENANT, Entra

SCOPE = "https://graph.microsoft.com/.default"
NOW = datetime(2026, 11, 20, 23, 51, tzinfo=UTC)
SECRET = "secret-of-the-app"


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def entra(wire):
    return Entra(wire, secret=SECRET, scope=SCOPE)


@contextmanager
def token(*, authority=AUTHORITY, secret=SECRET, ca_bundle=None):
    with http_session(ca_bundle) as session:
        yield EntraToken(
            authority=authority, tenant_id=TENANT, client_id=CLIENT, secret=Secret(secret), scope=SCOPE,
            session=session, now=lambda: NOW,
        )  # fmt: skip


def failure(**how):
    with token(**how) as one, pytest.raises(DeliveryFailed) as failed:
        one.get()
    assert SECRET not in str(failed.value) + failed.value.detail
    return failed.value


def test_a_token_is_asked_for_once_and_kept(entra):
    with token() as one:
        assert [one.get(), one.get()] == ["token-1", "token-1"]
    assert entra.asked == 1


def test_a_forgotten_token_is_asked_for_anew(entra):
    entra.tokens = ["token-1", "token-2"]
    with token() as one:
        one.forget()
        first = one.get()
        one.forget()
        assert [first, one.get()] == ["token-1", "token-2"]


@pytest.mark.usefixtures("entra")
def test_nothing_is_called_before_the_first_get(wire):
    with token():
        assert len(wire.calls) == 0


def test_an_authority_that_microsoft_does_not_know_is_not_asked_about(wire):
    """Only the authority itself is registered: a question to another host would fail."""
    Entra(wire, secret=SECRET, scope=SCOPE, authority="https://sign-in.contoso.example:8443")
    with token(authority="https://sign-in.contoso.example:8443/") as one:
        assert one.get() == "token-1"


@pytest.mark.usefixtures("entra")
def test_a_wrong_secret_is_named_by_entras_number():
    found = failure(secret="wrong")
    assert (found.code, found.status) == ("AADSTS7000215", 401)
    assert found.detail.startswith("AADSTS7000215: Invalid client secret")


def test_a_wrong_secret_is_asked_about_again_and_not_answered_from_memory(wire, entra):
    refused = {"error": "invalid_client", "error_codes": [7000215]}
    answer = wire.replace("POST", entra.token_url, json=refused, status=400)
    with token() as one:
        for _ in range(2):
            with pytest.raises(DeliveryFailed, match="AADSTS7000215"):
                one.get()
    assert answer.call_count == 2


def test_a_wrong_tenant_is_found_although_it_fails_before_the_token_is_asked_for(wire, entra):
    told = {"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant not found.", "error_codes": [90002]}
    wire.replace("GET", entra.discovery_url, json=told, status=400)
    found = failure()
    assert (found.code, found.status) == ("AADSTS90002", 400)


ANSWERS = [
    ({"error": "x", "error_description": "AADSTS900023: Specified tenant identifier"}, 400, "AADSTS900023"),
    ({"error": "unauthorized_client"}, 400, "unauthorized_client"),
    ({"error": "invalid_client", "error_codes": []}, 200, "invalid_client"),
    ({"token_type": "Bearer"}, 200, None),
    ({"access_token": ""}, 200, None),
    ({"error": {"code": "odd"}}, 403, None),
]


@pytest.mark.parametrize(("body", "status", "code"), ANSWERS)
def test_an_answer_without_token_is_named_by_the_best_it_gives(wire, entra, body, status, code):
    wire.replace("POST", entra.token_url, json=body, status=status)
    found = failure()
    assert (found.code, found.status) == (code, status)


@pytest.mark.parametrize("status", [200, 302, 502])
@pytest.mark.parametrize("step", ["discovery_url", "token_url"])
def test_a_page_of_html_is_a_failure_at_either_step(wire, entra, step, status):
    method = "GET" if step == "discovery_url" else "POST"
    wire.replace(method, getattr(entra, step), body="<html>proxy</html>", status=status, headers={"Location": "/x"})
    found = failure()
    assert (found.code, found.status, found.detail) == (None, status, "<html>proxy</html>")


def test_a_wait_that_is_asked_for_is_passed_on(wire, entra):
    wire.replace("POST", entra.token_url, json={"error": "x"}, status=429, headers={"Retry-After": "40"})
    assert failure().retry_after == 40.0


def test_a_connection_that_times_out_is_a_network_failure(wire, entra):
    wire.replace("POST", entra.token_url, body=requests.ReadTimeout())
    found = failure()
    assert found.code == "network.timeout"
    assert found.about == f"signing in at {urlsplit(entra.token_url).hostname}"  # and not at the destination itself


def test_a_discovery_document_without_endpoints_is_a_failure(wire, entra):
    wire.replace("GET", entra.discovery_url, json={})
    assert failure().code == "invalid_authority"


def test_an_authority_that_is_not_https_is_refused():
    assert failure(authority="http://login.microsoftonline.com").code == "invalid_authority"


# --- the real wire


class _OverTls(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        base = f"https://127.0.0.1:{self.server.server_port}/{TENANT}"
        self._say({"issuer": base, "token_endpoint": f"{base}/token", "authorization_endpoint": f"{base}/authorize"})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say({"access_token": "over-tls", "expires_in": 3599, "token_type": "Bearer"})

    def _say(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def sign_in_service(server_tls):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _OverTls)
    server.socket = server_tls.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # a client that hangs up at our certificate is what the test is about
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_ca_bundle_holds_for_the_sign_in_too(sign_in_service, ca_bundle):
    with token(authority=sign_in_service, ca_bundle=ca_bundle) as one:
        assert one.get() == "over-tls"


def test_a_sign_in_service_with_an_unknown_certificate_is_not_trusted(sign_in_service):
    assert failure(authority=sign_in_service).code == "network.tls-untrusted"
