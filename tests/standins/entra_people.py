"""People who sign in to Entra with a browser: authorization codes under PKCE, and signed tokens of who they are."""

import base64
import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256

TEXTS = {
    50011: "The redirect URI specified in the request does not match the redirect URIs configured for the application "
    "'{client}'.",
    50105: "The signed in user 'someone@contoso.com' is not assigned to a role for the application '{client}'"
    "(Leadwire).",
    54005: "OAuth2 Authorization code was already redeemed, please retry with a new valid code.",
    500112: "The reply address does not match the reply address provided when requesting the authorization code.",
    501481: "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
}
NEEDED = {"response_type": "code", "code_challenge_method": "S256"}


@lru_cache
def _key(number):
    """An RSA key; making one is slow, so that all tests share them."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class People:
    """Who sits at the browser, and what Entra says of them; a test changes it to make a scenario."""

    name: str = "someone@contoso.com"
    roles: tuple = ("Leadwire.Operator",)
    redirect_uris: set = field(default_factory=set)
    refusal: int | None = None  # an AADSTS number that the browser is sent back with
    claims: dict = field(default_factory=dict)  # what the token says differently; None leaves a claim out
    signed_by: int = 1  # 2: a key that is not among those published
    codes: dict = field(default_factory=dict)  # code → what was asked for, None once it is redeemed

    @cached_property
    def kid(self):
        return uuid.uuid4().hex

    def keys(self):
        """The published keys."""
        import jwt

        public = jwt.algorithms.RSAAlgorithm.to_jwk(_key(1).public_key(), as_dict=True)
        return [{**public, "kid": self.kid, "use": "sig"}]

    def new_code(self, query):
        """A code for what an application asked in a browser, in the one way that the console should."""
        wrong = {name: query.get(name) for name, value in NEEDED.items() if query.get(name) != value}
        missing = {"state", "nonce", "code_challenge"} - query.keys()
        scopes = set(query.get("scope", "").split())
        assert not wrong, wrong
        assert not missing, missing
        assert "openid" in scopes, scopes
        assert "offline_access" not in scopes, scopes
        code = uuid.uuid4().hex
        self.codes[code] = query
        return code

    def fault_of(self, form):
        """The AADSTS number of what is wrong in redeeming a code, None: nothing."""
        asked = self.codes.get(form.get("code"))
        if asked is None:
            return 54005
        if form.get("redirect_uri") != asked["redirect_uri"]:
            return 500112
        hashed = sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(hashed).decode().rstrip("=") != asked["code_challenge"]:
            return 501481
        return None

    def id_token(self, code, *, issuer, tenant):
        """Redeem a code for the token that says who it was."""
        import jwt

        asked, self.codes[code] = self.codes[code], None
        now = int(time.time())
        claims = {
            "aud": asked["client_id"],
            "iss": issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
            "nonce": asked["nonce"],
            "oid": "33333333-4444-5555-6666-777777777777",
            "preferred_username": self.name,
            "roles": list(self.roles),
            "sub": "a-subject",
            "tid": tenant,
            "ver": "2.0",
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, _key(self.signed_by), algorithm="RS256", headers={"kid": self.kid})
