"""One Salesforce org on this machine, over TLS: sign-in, describe, collections, queries, search and limits.

It is a real server, so that nothing above the socket is faked, and as strict as the real one where we depend on it:
what the real one would refuse is refused here with the same code. `127.0.0.1` plays the org's My Domain, `localhost`
the login host that all orgs share. Scenarios are functions that get the work to do and give the answer:

    with Org() as org:
        org.meets("write", hang)        # the next write is done, and never answered
"""

from __future__ import annotations

import gzip
import json
import re
import ssl
import tempfile
import threading
import traceback
import xml.etree.ElementTree as ET
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.standins.salesforce_lead import LeadTable, Refused

CLIENT, SECRET = "3MVG9contoso.marketplace.leads", "Secret-of-the-app"
USERNAME, PASSWORD, TOKEN = "leads@contoso.example", "Pass<word>&1", "tok&EN"
USER_ID = "005Hs00000AbCdEIAV"
LONGEST_ADDRESS = 16_384
CHUNK = 512  # bytes; longer answers come in chunks, as the real ones do
GRACE = timedelta(minutes=5)
HTML = {"Content-Type": "text/html;charset=UTF-8"}
XML = {"Content-Type": "text/xml;charset=UTF-8"}
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class Reply:
    """An answer; `cut` sends half of it and hangs up, `silent` nothing, `slow` a byte now and then."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False
    slow: bool = False

    def encoded(self):
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def refusal(status, code, message="refused", **headers):
    """Meet a call with an error of the REST API, without doing anything."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _work: Reply(status, [{"message": message, "errorCode": code}], named)


def maintenance(_work):
    """The page that stands in front of an org that is being moved."""
    return Reply(503, b"<html><head><title>Down for Maintenance</title></head><body>Sorry!</body></html>", HTML)


def page(_work):
    """A sign-in page with a status of success, as captive networks send it."""
    return Reply(200, b"<!DOCTYPE html><html><body>Please log in</body></html>", HTML)


def moved(_work):
    return Reply(302, b"", {"Location": "https://other.example/services"})


def hang(work):
    """Do the work and say nothing."""
    work()
    return Reply(200, b"", silent=True)


def cut(work):
    """Do the work and hang up in the middle of the answer."""
    reply = work()
    reply.cut = True
    return reply


def one_short(work):
    """Do the work and lose one result."""
    reply = work()
    reply.body = reply.body[:-1]
    return reply


def answering(**changes):
    """Do the work and change what it answers."""

    def change(work):
        reply = work()
        for name, value in changes.items():
            setattr(reply, name, value)
        return reply

    return change


@cache
def key_pair():
    """A private key as PEM text, and its public half."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kind = serialization.PrivateFormat.PKCS8
    pem = private.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    return pem.decode(), private.public_key()


class Org:
    """One org: its users' ways in, its Lead table, its allowance, and what it was asked."""

    def __init__(self, *, now=lambda: datetime.now(UTC)):
        self.now = now
        self.leads = LeadTable(now=now, user_id=USER_ID)
        self.used, self.allowed, self.tells_usage = 17, 5000, True
        self.calls = []  # (operation, method, path)
        self.headers = []  # of each write
        self.sessions = set()
        self.keeps_sessions = True  # False: every session is refused
        self.audience = None  # what an assertion must be for; None: our own address
        self.soap_login = True
        self._scenarios = defaultdict(list)
        self._logins = 0
        self._pages = {}
        self._released = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        authority = trustme.CA()
        self.ca_bundle = str(Path(self._folder.name) / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_bundle)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.org = self
        self._server.socket = context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )  # a caller that says nothing must not keep the others from being taken
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        self._folder.cleanup()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    @property
    def shared_login_url(self):
        return f"https://localhost:{self.port}"

    def meets(self, operation, *scenarios):
        """Let the next calls of an operation meet these: token, login, describe, write, query, search, limits."""
        self._scenarios[operation] += scenarios

    def expire(self):
        """End every session."""
        self.sessions.clear()

    def count(self, *operations):
        return sum(one[0] in operations for one in self.calls) if operations else len(self.calls)

    def handle(self, method, target, headers, body):
        parts = urlsplit(target)
        operation = _operation(method, parts.path)
        with self._lock:
            self.calls.append((operation, method, parts.path))
            if len(target) > LONGEST_ADDRESS:
                return Reply(414, b"<html>URI Too Long</html>", HTML)
            waiting = self._scenarios[operation]
            scenario = waiting.pop(0) if waiting else lambda work: work()
            try:
                return scenario(lambda: self._work(operation, method, parts, headers, body))
            except Exception:  # noqa: BLE001  (a mistake of the stand-in's own shall be seen in the test)
                return refusal(500, "STANDIN_BROKEN", traceback.format_exc())(None)

    def wait(self, seconds=30):
        """Keep a caller waiting, at most until the end."""
        self._released.wait(seconds)

    def _work(self, operation, method, parts, headers, body):
        if operation == "token":
            return self._token(headers, body)
        if operation == "login":
            return self._login(parts.path, headers, body)
        if operation is None:
            return refusal(404, "NOT_FOUND", "The requested resource does not exist")(None)
        session = headers.get("Authorization", "").removeprefix("Bearer ")
        if session not in self.sessions or not self.keeps_sessions:
            return refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")(None)
        if self.used >= self.allowed:
            return refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")(None)
        self.used += 1
        try:
            reply = getattr(self, f"_{operation}")(method, parts, headers, body)
        except Refused as refused:
            reply = refusal(refused.status, refused.code, str(refused))(None)
        if self.tells_usage:
            reply.headers["Sforce-Limit-Info"] = f"api-usage={self.used}/{self.allowed}"
        return reply

    # --- ways in -------------------------------------------------------------

    def _session(self):
        self._logins += 1
        session = f"00D000000000001!session.{self._logins}"
        self.sessions.add(session)
        return session

    def _token(self, headers, body):
        if headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return _oauth("unsupported_grant_type", "grant type not supported")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        grant = form.get("grant_type")
        if grant == "client_credentials":
            fault = self._client_fault(form, headers)
        elif grant == JWT_GRANT:
            fault = self._assertion_fault(form.get("assertion", ""))
        else:
            fault = ("unsupported_grant_type", "grant type not supported")
        if fault:
            return _oauth(*fault)
        told = {"access_token": self._session(), "instance_url": self.url, "token_type": "Bearer"}
        return Reply(200, told | {"id": f"{self.shared_login_url}/id/00D000000000001EAA/{USER_ID}"})

    def _client_fault(self, form, headers):
        if not headers["Host"].startswith("127.0.0.1"):
            return "invalid_grant", "request not supported on this domain"
        if form.get("client_id") != CLIENT:
            return "invalid_client_id", "client identifier invalid"
        if form.get("client_secret") != SECRET:
            return "invalid_client", "invalid client credentials"
        return None

    def _assertion_fault(self, assertion):
        try:
            claims = jwt.decode(
                assertion, key_pair()[1], algorithms=["RS256"], audience=self.audience or self.url,
                options={"require": ["iss", "sub", "aud", "exp"], "verify_exp": False},
            )  # fmt: skip
        except jwt.InvalidAudienceError:
            return "invalid_grant", "audience is invalid"
        except jwt.PyJWTError:
            return "invalid_grant", "invalid assertion"
        left = datetime.fromtimestamp(int(claims["exp"]), UTC) - self.now()
        if not timedelta() < left <= GRACE or not isinstance(claims["exp"], int):
            return "invalid_grant", "expired authorization code"
        if claims["iss"] != CLIENT:
            return "invalid_client_id", "client identifier invalid"
        return None if claims["sub"] == USERNAME else ("invalid_grant", "user hasn't approved this consumer")

    def _login(self, path, headers, body):
        version = int(path.rpartition("/")[2].partition(".")[0])
        if not 31 <= version <= 64:
            return _fault("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL")
        if not self.soap_login:
            return _fault("INVALID_OPERATION", "SOAP API login() is disabled by default in this org.")
        login = ET.fromstring(body.decode()).find(".//{urn:partner.soap.sforce.com}login")  # noqa: S314  (from ourselves)
        given = {child.tag.rpartition("}")[2]: child.text for child in login}
        if not headers.get("SOAPAction") or given != {"username": USERNAME, "password": PASSWORD + TOKEN}:
            text = "INVALID_LOGIN: Invalid username, password, security token; or user locked out."
            return _fault("INVALID_LOGIN", text)
        told = {"sessionId": self._session(), "serverUrl": f"{self.url}{path}/00D000000000001", "userId": USER_ID}
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in told.items())
        return Reply(200, _envelope(f"<loginResponse><result>{inner}</result></loginResponse>"), dict(XML))

    # --- the REST API --------------------------------------------------------

    def _describe(self, *_):
        return Reply(200, self.leads.described())

    def _limits(self, *_):
        return Reply(200, {"DailyApiRequests": {"Max": self.allowed, "Remaining": self.allowed - self.used}})

    def _write(self, method, parts, headers, body):
        self.headers.append(dict(headers))
        if not headers.get("Content-Type", "").startswith("application/json"):
            raise Refused(415, "UNSUPPORTED_MEDIA_TYPE")
        try:
            records = _records(json.loads(body.decode()))
        except ValueError:
            raise Refused(400, "JSON_PARSER_ERROR", "Unexpected character") from None
        external = None
        if method == "PATCH":
            external = unquote(parts.path.rpartition("/")[2])
        saves = headers.get("Sforce-Duplicate-Rule-Header", "").replace(" ", "") == "allowSave=true"
        assigned = headers.get("Sforce-Auto-Assign", "TRUE")
        return Reply(200, self.leads.write(records, external=external, saves=saves, assigned=assigned))

    def _delete(self, _method, parts, *_):
        asked = parse_qs(parts.query, strict_parsing=True)
        ids = asked.get("ids", [""])[0].split(",")
        if set(asked) != {"ids", "allOrNone"} or asked["allOrNone"] != ["false"] or not 1 <= len(ids) <= 200:
            raise Refused(400, "INVALID_INPUT", "Up to 200 ids, and allOrNone false is what we rely on.")
        return Reply(200, [self.leads.delete(one) for one in ids])

    def _query(self, _method, parts, *_):
        place = parts.path.rpartition("/query")[2].strip("/")
        rows = self._pages.pop(place) if place else self.leads.query(parse_qs(parts.query)["q"][0])
        size, told = self.leads.page_size, {"totalSize": len(rows), "done": True}
        if len(rows) > size:
            following = f"01gHs{len(self.calls):013}"
            self._pages[following] = rows[size:]
            told |= {"done": False, "nextRecordsUrl": f"{parts.path.partition('/query')[0]}/query/{following}"}
        return Reply(200, told | {"records": rows[:size]})

    def _search(self, _method, parts, *_):
        return Reply(200, {"searchRecords": self.leads.search(parse_qs(parts.query)["q"][0])})


def _operation(method, path):
    root = r"/services/data/v\d\d\.0"
    known = {
        ("POST", r"/services/oauth2/token"): "token",
        ("POST", r"/services/Soap/u/\d\d\.0"): "login",
        ("GET", root + "/sobjects/Lead/describe"): "describe",
        ("GET", root + "/limits"): "limits",
        ("POST", root + "/composite/sobjects"): "write",
        ("DELETE", root + "/composite/sobjects"): "delete",
        ("PATCH", root + r"/composite/sobjects/Lead/\w+"): "write",
        ("GET", root + r"/query(/\w+)?"): "query",
        ("GET", root + "/search"): "search",
    }
    return next((name for (verb, shape), name in known.items() if verb == method and re.fullmatch(shape, path)), None)


def _records(body):
    """Read a collection, refusing what isn't one."""
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list) or not records or body.get("allOrNone") is not False:
        raise Refused(400, "INVALID_INPUT", "A collection has records, and allOrNone false is what we rely on.")
    if len(records) > 200:
        raise Refused(400, "EXCEEDED_MAX_SIZE_REQUEST", "record limit reached. cannot submit more than 200 records")
    if any(one.get("attributes") != {"type": "Lead"} for one in records):
        raise Refused(400, "INVALID_INPUT", "Missing type attribute")
    return records


def _oauth(error, description):
    return Reply(400, {"error": error, "error_description": description})


def _envelope(inner):
    names = 'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com"'
    names += ' xmlns:sf="urn:fault.partner.soap.sforce.com"'
    text = f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope {names}><soapenv:Body>{inner}</soapenv:Body>'
    return f"{text}</soapenv:Envelope>".encode()


def _fault(code, message):
    """A SOAP fault, which always travels with status 500."""
    detail = f"<sf:exceptionCode>{code}</sf:exceptionCode><sf:exceptionMessage>{message}</sf:exceptionMessage>"
    inner = f"<faultcode>sf:{code}</faultcode><faultstring>{message}</faultstring>"
    fault = f"<soapenv:Fault>{inner}<detail><sf:LoginFault>{detail}</sf:LoginFault></detail></soapenv:Fault>"
    return Reply(500, _envelope(fault), dict(XML))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    org: Org

    def handle_error(self, request, client_address):
        """Say nothing of callers that hang up: some scenarios make them."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for 40 ms

    def log_message(self, *_):
        """Say nothing."""

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        reply = self.server.org.handle(self.command, self.path, self.headers, self.rfile.read(length))
        if reply.silent:
            self.server.org.wait()
            self.close_connection = True
            return
        body = reply.encoded()
        headers = {"Content-Type": "application/json;charset=UTF-8"} | reply.headers
        if "gzip" in self.headers.get("Accept-Encoding", "") and not reply.slow:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        chunked = len(body) > CHUNK
        headers |= {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(body))}
        self.send_response(reply.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.cut:
            body = body[: len(body) // 2]
        step = 1 if reply.slow else CHUNK
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if reply.slow:
                self.server.org.wait(0.05)
        if chunked and not reply.cut:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = self.close_connection or reply.cut

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  (http.server finds them by these names)
