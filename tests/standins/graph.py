"""Entra's token endpoint and Graph's sendMail, as strict as the real ones where we depend on it.

Both stand below requests (the `responses` package), so everything above the wire is the real thing.
"""

import base64
import binascii
import json
from email import message_from_bytes, policy
from urllib.parse import parse_qs

AUTHORITY = "https://login.microsoftonline.com"
TENANT = "11111111-2222-3333-4444-555555555555"
CLIENT = "99999999-8888-7777-6666-555555555555"
GRAPH = "https://graph.microsoft.com"
JSON = {"Content-Type": "application/json"}


def unsigned(claims):
    """A token as it looks: three parts, the middle one readable."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"])


class Entra:
    """Gives `tokens` one after the other, the last one again and again."""

    def __init__(self, wire, *, secret, scope, authority=AUTHORITY, tokens=("token-1",)):
        self.secret, self.scope, self.tokens = secret, scope, list(tokens)
        self.asked = 0
        base = f"{authority}/{TENANT}"
        self.discovery_url = f"{base}/v2.0/.well-known/openid-configuration"
        self.token_url = f"{base}/oauth2/v2.0/token"
        found = {
            "issuer": f"{base}/v2.0",
            "token_endpoint": self.token_url,
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        }
        wire.get(self.discovery_url, json=found)
        wire.add_callback("POST", self.token_url, callback=self._token)

    def _token(self, request):
        self.asked += 1
        form = {key: values[0] for key, values in parse_qs(request.body).items()}
        if form.get("client_secret") != self.secret or form.get("client_id") != CLIENT:
            text = "AADSTS7000215: Invalid client secret provided. Trace ID: 0"
            return (
                401,
                JSON,
                json.dumps({"error": "invalid_client", "error_description": text, "error_codes": [7000215]}),
            )
        if (form.get("grant_type"), form.get("scope")) != ("client_credentials", self.scope):
            return 400, JSON, json.dumps({"error": "invalid_scope", "error_description": "AADSTS70011: scope"})
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        return 200, JSON, json.dumps({"token_type": "Bearer", "expires_in": 3599, "access_token": token})


class Graph:
    """One mailbox; `refusals` are answers (status, headers, body) given before anything else is looked at."""

    def __init__(self, wire, *, mailbox, tokens=("token-1",)):
        self.mailbox, self.tokens = mailbox, set(tokens)
        self.mails, self.refusals = [], []
        self.calls = 0
        self.url = f"{GRAPH}/v1.0/users/{mailbox}/sendMail"
        wire.add_callback("POST", self.url, callback=self._send)

    def _send(self, request):
        self.calls += 1
        if self.refusals:
            return self.refusals.pop(0)
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return self.error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")
        if request.headers["Content-Type"] == "application/json":
            return self._by_json(json.loads(request.body))
        if request.headers["Content-Type"] != "text/plain":
            return self.error(415, "RequestBodyRead", "The content type is not supported.")
        return self._by_mime(request.body)

    def _by_json(self, body):
        if body["message"].get("toRecipients"):
            return self.error(500, "generalException", "The stand-in takes messages as MIME only.")
        return self.error(400, "ErrorInvalidRecipients", "A message can't be sent because it contains no recipients.")

    def _by_mime(self, body):
        try:
            message = message_from_bytes(base64.b64decode(body, validate=True), policy=policy.default)
        except binascii.Error:
            return self.error(400, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
        if message["From"] != self.mailbox:
            return self.error(403, "ErrorSendAsDenied", "The user account doesn't have the right to send as this one.")
        if not message["To"]:
            return self.error(400, "ErrorInvalidRecipients", "At least one recipient is not valid.")
        self.mails.append(message)
        return 202, {}, ""

    @staticmethod
    def error(status, code, message, **headers):
        return status, JSON | headers, json.dumps({"error": {"code": code, "message": message}})
