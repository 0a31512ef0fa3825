"""Microsoft Entra's sign-in service over TLS: discovery and token endpoints, with what can go wrong there.

A real server on loopback, so that everything above the socket is the real thing. What it refuses, it refuses with
Entra's numbers and words.
"""

import json
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tests.standins.entra_people import TEXTS as PEOPLE_TEXTS
from tests.standins.entra_people import People
from tests.standins.tls import TlsServer

TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "99999999-8888-7777-6666-555555555555"
SECRET = "value-of-the-client-secret"
USERNAME, PASSWORD = "someone@contoso.com", "password-of-someone"
JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html"}
PAGE = b"<!DOCTYPE html><html><body><h1>Sign in to the guest network</h1></body></html>"

TEXTS = {
    **PEOPLE_TEXTS,
    50034: "The user account {username} does not exist in the {tenant} directory.",
    50053: "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    50055: "The password is expired.",
    50057: "The user account is disabled.",
    50076: "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
    "use multi-factor authentication to access '00000007-0000-0000-c000-000000000000'.",
    50126: "Error validating credentials due to invalid username or password.",
    53003: "Access has been blocked by Conditional Access policies.",
    65001: "The user or administrator has not consented to use the application with ID '{client}'.",
    90002: "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
    "correct cloud.",
    90033: "A transient error has occurred. Please try again.",
    500011: "The resource principal named {scope} was not found in the tenant named {tenant}.",
    700016: "Application with identifier '{client}' was not found in the directory '{tenant}'.",
    700027: "The certificate with identifier used to sign the client assertion is not registered on application.",
    900023: "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.",
    7000215: "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
    "not the client secret ID, for a secret added to app '{client}'.",
    7000218: "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    7000222: "The provided client secret keys for app '{client}' are expired.",
}
WORDS = {
    50076: "interaction_required",
    90002: "invalid_request",
    900023: "invalid_request",
    50105: "access_denied",
    700016: "unauthorized_client",
}
GRANTS = {54005, 500112, 501481, 50034, 50053, 50055, 50057, 50126, 65001}


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """An AADSTS number to answer with."""


@dataclass
class Entra:
    """What the directory knows; a test changes it to make a scenario."""

    tenant: str = TENANT
    client: str = CLIENT
    secret: str = SECRET
    certificate: object = None  # a cryptography certificate, where the application has one
    secret_expired: bool = False
    username: str = USERNAME
    password: str = PASSWORD
    resources: set = field(default_factory=set)  # scopes without "/.default"
    refusal: int | None = None  # an AADSTS number for every token that is asked for
    outage: tuple | None = None  # (status, headers, body) for everything
    lifetime: int = 3599
    tokens: dict = field(default_factory=dict)  # token → resource it is for
    asked: Counter = field(default_factory=Counter)  # discovery, token
    people: People = field(default_factory=People)  # who signs in with a browser

    def token_for(self, form):
        """Judge a token request as Entra does, in its order: application, credential, resource, user."""
        if form.get("client_id") != self.client:
            raise Refused(700016)
        if form.get("grant_type") == "client_credentials":
            self._prove(form)
        elif form.get("grant_type") != "password":
            raise Refused(70003)
        resource = next((one for one in form.get("scope", "").split() if one.endswith("/.default")), "")
        if resource.removesuffix("/.default") not in self.resources:
            raise Refused(500011)
        if form["grant_type"] == "password":
            self._recognise(form)
        if self.refusal:
            raise Refused(self.refusal)
        token = f"token-{uuid.uuid4()}"
        self.tokens[token] = resource.removesuffix("/.default")
        return token

    def _prove(self, form):
        if "client_assertion" in form:
            self._prove_by_certificate(form["client_assertion"])
        elif not form.get("client_secret"):
            raise Refused(7000218)
        elif form["client_secret"] != self.secret:
            raise Refused(7000215)
        elif self.secret_expired:
            raise Refused(7000222)

    def _prove_by_certificate(self, assertion):
        import jwt

        if self.certificate is None:
            raise Refused(700027)
        try:
            claims = jwt.decode(
                assertion, self.certificate.public_key(), algorithms=["PS256"], options={"verify_aud": False}
            )
        except jwt.InvalidTokenError:
            raise Refused(700027) from None
        if claims["iss"] != self.client or claims["sub"] != self.client:
            raise Refused(700027)

    def _recognise(self, form):
        if form.get("username") != self.username:
            raise Refused(50034)
        if form.get("password") != self.password:
            raise Refused(50126)

    def knows(self, tenant):
        """Raise for a tenant that isn't ours; a user may also sign in at "organizations"."""
        if tenant in {self.tenant, "organizations"}:
            return
        raise Refused(90002 if "." in tenant or len(tenant) == len(TENANT) else 900023)


class EntraServer(TlsServer, Entra):
    """The sign-in service at `url`, which is the `authority` of a destination."""

    def __init__(self, context, *, port=0, **known):
        Entra.__init__(self, **known)
        TlsServer.__init__(self, context, port=port)

    def respond(self, method, path, headers, body):  # noqa: PLR0911  (an answer each)
        del headers
        if self.outage:
            return self.outage
        tenant, _, rest = urlsplit(path).path.strip("/").partition("/")
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        try:
            if (method, rest) == ("GET", "v2.0/.well-known/openid-configuration"):
                self.asked["discovery"] += 1
                self.knows(tenant)
                return 200, JSON, json.dumps(self._endpoints(tenant)).encode()
            if (method, rest) == ("POST", "oauth2/v2.0/token"):
                self.asked["token"] += 1
                self.knows(tenant)
                by_code = form.get("grant_type") == "authorization_code"
                granted = self._admitted(form) if by_code else self._granted(self.token_for(form))
                return 200, JSON, json.dumps(granted).encode()
            if (method, rest) == ("GET", "oauth2/v2.0/authorize"):
                return self._ask_person(tenant, dict(parse_qsl(urlsplit(path).query)))
        except Refused as refused:
            return self._refusal(refused.args[0], tenant, form)
        if (method, rest) == ("GET", "discovery/v2.0/keys"):
            return 200, JSON, json.dumps({"keys": self.people.keys()}).encode()
        return 404, HTML, b"<html><body>The resource cannot be found.</body></html>"

    def _endpoints(self, tenant):
        base = f"{self.url}/{tenant}"
        return {
            "issuer": f"{base}/v2.0",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        }

    def _ask_person(self, tenant, query):
        """Answer the browser: back to the application with a code or Entra's no, a page where that can't be trusted."""
        if query.get("client_id") != self.client:
            raise Refused(700016)
        if query.get("redirect_uri") not in self.people.redirect_uris:
            raise Refused(50011)
        if self.people.refusal:
            told = json.loads(self._refusal(self.people.refusal, tenant, query)[2])
            back = {name: told[name] for name in ("error", "error_description")}
        else:
            back = {"code": self.people.new_code(query)}
        back["state"] = query.get("state", "")
        return 302, {"Location": f"{query['redirect_uri']}?{urlencode(back)}"}, b""

    def _admitted(self, form):
        if form.get("client_id") != self.client:
            raise Refused(700016)
        self._prove(form)
        fault = self.people.fault_of(form)
        if fault:
            raise Refused(fault)
        id_token = self.people.id_token(form["code"], issuer=f"{self.url}/{self.tenant}/v2.0", tenant=self.tenant)
        return {**self._granted(f"token-{uuid.uuid4()}"), "scope": "openid profile", "id_token": id_token}

    def _granted(self, token):
        return {"token_type": "Bearer", "expires_in": self.lifetime, "access_token": token}

    def _refusal(self, number, tenant, form):
        known = {"tenant": tenant, "client": form.get("client_id"), "scope": form.get("scope")}
        text = TEXTS.get(number, "The request is not valid.").format(**known, username="{EUII Hidden}")
        trace, now = uuid.uuid4(), datetime.now(UTC)
        word = WORDS.get(number) or ("invalid_grant" if number in GRANTS else "invalid_client")
        told = {
            "error": word,
            "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {trace} "
            f"Timestamp: {now:%Y-%m-%d %H:%M:%SZ}",
            "error_codes": [number],
            "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
            "trace_id": str(trace),
            "correlation_id": str(trace),
        }
        return 401 if word == "invalid_client" else 400, JSON, json.dumps(told).encode()


def pem_of(key, certificate):
    """A private key and its certificate in one text, as an operator would keep them."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (secret + certificate.public_bytes(Encoding.PEM)).decode()


def self_signed(*, name="leadwire", days=30):
    """Make an RSA key and a certificate for it."""
    from datetime import timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.hashes import SHA256

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=days))
    return key, builder.sign(key, SHA256())
