"""A master key that never leaves Azure Key Vault: the vault wraps and unwraps, by its REST interface.

A process asks once, at its start. https://learn.microsoft.com/rest/api/keyvault/keys/wrap-key, looked at in 2026-11.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.settings import ConfigError
from app.store.engine import StoreUnavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

API_VERSION = "7.4"
ALGORITHM = "RSA-OAEP-256"
TIMEOUT = (5.0, 15.0)  # seconds to connect, and to wait for an answer
AGAIN_LATER = (408, 429, 500, 502, 503, 504)
OK, NOT_SIGNED_IN, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
WHAT_TO_DO = {
    NOT_SIGNED_IN: "the vault doesn't take this machine's identity: see that it is in the vault's own tenant.",
    FORBIDDEN: "give this machine's identity the role Key Vault Crypto User on the key, and see that the key is "
    "enabled and the vault's firewall lets it in.",
    NOT_FOUND: "there is no such key, or version of it: compare the address with the key's identifier in the portal.",
}


class VaultMaster:
    """A key in a vault, by its address, with a version behind it or without: then the newest wraps."""

    def __init__(self, address: str, *, credential: TokenCredential | None = None) -> None:
        """Take the address; without a credential this machine's own identity is used."""
        self.reference = f"keyvault:{address}"
        self._address = address
        self._credential = credential

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Have the vault wrap a key; the mark is the identifier of the version that did."""
        told = self._ask(self._address, "wrapkey", key)
        mark = str(told["kid"])
        if not self.knows(mark):
            msg = f"[encryption] {self.reference}: the vault answered for another key, {mark}: write its address so."
            raise ConfigError(msg)
        return mark, _decoded(told["value"])

    def knows(self, mark: str) -> bool:
        """Compare the key, and the version if one is configured."""
        return f"{mark}/".casefold().startswith(f"{self._address}/".casefold())

    def unwrap(self, mark: str, wrapped: bytes) -> bytes:
        """Have the version that wrapped a key unwrap it."""
        return _decoded(self._ask(mark, "unwrapkey", wrapped)["value"])

    def _ask(self, key: str, operation: str, value: bytes) -> dict[str, Any]:
        import requests  # noqa: PLC0415  (a process asks once)

        try:
            answer = requests.post(
                f"{key}/{operation}",
                params={"api-version": API_VERSION},
                json={"alg": ALGORITHM, "value": base64.urlsafe_b64encode(value).rstrip(b"=").decode()},
                headers={"Authorization": f"Bearer {self._token()}"},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as exc:
            msg = f"{self.reference} can't be reached ({type(exc).__name__})"
            raise StoreUnavailable(msg) from None
        if answer.status_code in AGAIN_LATER:
            msg = f"{self.reference} answered {answer.status_code}"
            raise StoreUnavailable(msg)
        told = _document(answer)
        if answer.status_code != OK or not {"kid", "value"} <= told.keys():
            raise ConfigError(self._refusal(answer.status_code, told))
        return told

    def _refusal(self, status: int, told: dict[str, Any]) -> str:
        error = told.get("error")
        inner = error.get("innererror") if isinstance(error, dict) else None
        codes = [one["code"] for one in (error, inner) if isinstance(one, dict) and isinstance(one.get("code"), str)]
        what = WHAT_TO_DO.get(status, "see that the key is an RSA key that may wrap and unwrap.")
        return f"[encryption] {self.reference} answered {status} {' '.join(codes)}: {what}"

    def _token(self) -> str:
        """Sign in as this machine: a managed identity, the environment's variables, or whoever used `az login`."""
        from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415
        from azure.identity import CredentialUnavailableError, DefaultAzureCredential  # noqa: PLC0415

        # A vault's tokens are for the service that it is in: vault.azure.net, and others in national clouds.
        service = (urlsplit(self._address).hostname or "").partition(".")[2]
        try:
            if self._credential is None:
                self._credential = DefaultAzureCredential()
            return self._credential.get_token(f"https://{service}/.default").token
        except (ClientAuthenticationError, CredentialUnavailableError, ValueError) as exc:
            first = (str(exc).splitlines() or [""])[0]
            msg = f"[encryption] {self.reference}: this machine has no identity that can sign in: {first}"
            raise ConfigError(msg) from None


def _document(answer: Any) -> dict[str, Any]:  # noqa: ANN401  (requests is imported when it is needed)
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _decoded(value: object) -> bytes:
    try:
        return base64.urlsafe_b64decode(f"{value}==")
    except (binascii.Error, ValueError):
        msg = "the key vault answered with something that is no key"
        raise StoreUnavailable(msg) from None
