"""Azure Key Vault over TLS: `wrapkey` and `unwrapkey` of RSA keys, as strict as the real one.

https://learn.microsoft.com/rest/api/keyvault/keys/wrap-key/wrap-key and
https://learn.microsoft.com/azure/key-vault/general/rest-error-codes
"""

import base64
import json
import re
import secrets
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.standins.tls import TlsServer

HOST = "contoso.vault.azure.net"
RESOURCE = "https://vault.azure.net"
VERSIONS = {"2015-06-01", "2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6"}
OAEP = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
CHALLENGE = {"WWW-Authenticate": f'Bearer authorization="https://login.windows.net/contoso", resource="{RESOURCE}"'}


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """Status, code and words to answer with, and an inner code where there is one."""

    def __init__(self, status, code, message, inner=None):
        self.status, self.code, self.message, self.inner = status, code, message, inner


class Vault(TlsServer):
    """A vault with keys by name, each with its versions, the newest last."""

    def __init__(self, context):
        super().__init__(context)
        self.keys = {}
        self.disabled = set()
        self.forbidden = False
        self.down = None
        self.address = f"https://{HOST}:{self.port}/keys"

    def make(self, name):
        """Make a key, or another version of it; gives the version's identifier."""
        version = secrets.token_hex(16)
        self.keys.setdefault(name, {})[version] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return f"{self.address}/{name}/{version}"

    def operations(self):
        """What was asked for, in order."""
        return [path.partition("?")[0].rsplit("/", 1)[1] for _, path in self.calls]

    def respond(self, method, path, headers, body):
        if self.down is not None:
            return self.down, {}, b""
        try:
            told = self._answer(method, urlsplit(path), headers, body)
        except Refused as no:
            error = {"code": no.code, "message": no.message}
            if no.inner is not None:
                error["innererror"] = {"code": no.inner}
            more = CHALLENGE if no.status == 401 else {}
            return no.status, {"Content-Type": "application/json", **more}, json.dumps({"error": error}).encode()
        return 200, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(told).encode()

    def _answer(self, method, url, headers, body):
        self._see_caller(headers)
        if dict(parse_qsl(url.query)).get("api-version") not in VERSIONS:
            raise Refused(400, "BadParameter", "AKV.SKM: a supported api-version must be given in the query.")
        parts = url.path.strip("/").split("/")
        if len(parts) not in (3, 4) or parts[0] != "keys" or parts[-1] not in ("wrapkey", "unwrapkey"):
            raise Refused(404, "NotFound", "No such operation.")
        if method != "POST":
            raise Refused(405, "MethodNotAllowed", "The HTTP method is not allowed.")
        kid, key = self._key(parts[1], parts[2] if len(parts) == 4 else None)
        if self.forbidden:
            raise Refused(
                403, "Forbidden", "Caller is not authorized to perform action on resource.", "ForbiddenByRbac"
            )
        if kid in self.disabled:
            raise Refused(403, "Forbidden", f"Operation {parts[-1]} is not allowed on a disabled key.", "KeyDisabled")
        value = self._value(headers, body)
        told = self._wrapped(key, value) if parts[-1] == "wrapkey" else self._unwrapped(key, value)
        return {"kid": kid, "value": base64.urlsafe_b64encode(told).rstrip(b"=").decode()}

    def _see_caller(self, headers):
        kind, _, token = headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            raise Refused(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        audience = token.removeprefix("token-for-")
        if audience != RESOURCE:
            told = f"AKV10022: Invalid audience. Expected {RESOURCE}, found: {audience}."
            raise Refused(401, "Unauthorized", told)

    def _key(self, name, version):
        versions = self.keys.get(name, {})
        version = version or next(reversed(versions), None)
        if version not in versions:
            raise Refused(404, "KeyNotFound", f"A key with (name/id) {name}/{version} was not found in this key vault.")
        return f"{self.address}/{name}/{version}", versions[version]

    def _value(self, headers, body):
        if headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise Refused(415, "UnsupportedMediaType", "The body must be application/json.")
        try:
            asked = json.loads(body)
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or set(asked) != {"alg", "value"}:
            raise Refused(400, "BadParameter", "The request body is invalid.")
        if asked["alg"] != "RSA-OAEP-256":
            raise Refused(400, "BadParameter", "Key and signing algorithm are incompatible.")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", asked["value"]):
            raise Refused(400, "BadParameter", "Property value has invalid value: it is not base64url.")
        return base64.urlsafe_b64decode(asked["value"] + "==")

    def _wrapped(self, key, value):
        try:
            return key.public_key().encrypt(value, OAEP)
        except ValueError:
            raise Refused(400, "BadParameter", "The value is too long for the key.") from None

    def _unwrapped(self, key, value):
        try:
            return key.decrypt(value, OAEP)
        except ValueError:
            raise Refused(400, "BadParameter", "The value cannot be unwrapped with this key.") from None
