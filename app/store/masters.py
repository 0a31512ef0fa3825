"""Master keys: what stands above the store's own keys, and never in the store."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.log import logger
from app.settings import ConfigError, decode_key, new_key, write_secret
from app.store.sealing import NONCE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.settings import Secret
    from app.settings.model import Encryption

log = logger("store")
ABOUT = b"leadwire key-encryption key"
LOST = (
    "it holds the master key of {store}, and without it nobody can read the leads kept there. Put it back from your "
    "backup (mode 0600), or name the place where it is now as [encryption] key."
)


class Master(Protocol):
    """A master key, wherever it is; `reference` is what may be shown of it."""

    reference: str

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Wrap a key; gives the mark by which this master knows its own, and the wrapped key.

        Raises:
            ConfigError: it can't be used as it is configured.
            StoreUnavailable: it can't be asked now.

        """
        ...

    def knows(self, mark: str) -> bool:
        """Tell whether a mark is this master's."""
        ...

    def unwrap(self, mark: str, wrapped: bytes) -> bytes:
        """Give back a key; raises what `wrap` does."""
        ...


class LocalMaster:
    """32 bytes that the configuration fetched from the environment or a file."""

    def __init__(self, key: bytes, reference: str) -> None:
        """Take the key, and where it came from."""
        self.reference = reference
        self._aead = AESGCM(key)
        # A hash of 32 random bytes tells nobody anything about them.
        self._mark = f"sha256:{hashlib.sha256(ABOUT + key).hexdigest()[:24]}"

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Wrap with AES-256-GCM."""
        nonce = os.urandom(NONCE_BYTES)
        return self._mark, nonce + self._aead.encrypt(nonce, key, ABOUT)

    def knows(self, mark: str) -> bool:
        """Compare."""
        return mark == self._mark

    def unwrap(self, mark: str, wrapped: bytes) -> bytes:
        """Unwrap."""
        del mark
        try:
            return self._aead.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], ABOUT)
        except (InvalidTag, ValueError):
            msg = f"The store's wrapped key doesn't open with {self.reference}: it was changed. Restore a backup."
            raise ConfigError(msg) from None


class FileMaster:
    """The key file that a SQLite store makes for itself, beside the database."""

    def __init__(self, path: Path, store: str) -> None:
        """Take the file's place; it is read, or made, when it is needed."""
        self.path = path
        self.reference = f"file:{path}"
        self._store = store
        self._read: LocalMaster | None = None

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Wrap, with a fresh key file if there is none: who has keys to read needed it before."""
        if not self.path.exists():
            try:
                self._make()
            except OSError as exc:
                msg = f"{self.path}: the file of the store's master key can't be made: {exc.strerror}."
                raise ConfigError(msg) from None
        return self._master().wrap(key)

    def _make(self) -> None:
        """Make the file in one step: of processes that start together the first one's stays, and is read whole."""
        made = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        write_secret(made, new_key())
        try:
            with contextlib.suppress(FileExistsError):
                os.link(made, self.path)
        finally:
            made.unlink()
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # before anything is sealed under it
        finally:
            os.close(folder)
        log.info("encryption.key-made", file=str(self.path))

    def knows(self, mark: str) -> bool:
        """Compare with the file's."""
        return self._master().knows(mark)

    def unwrap(self, mark: str, wrapped: bytes) -> bytes:
        """Unwrap with the file's."""
        return self._master().unwrap(mark, wrapped)

    def _master(self) -> LocalMaster:
        if self._read is None:
            try:
                key = decode_key(self.path.read_text())
            except OSError as exc:
                lost = LOST.format(store=self._store)
                msg = f"{self.path}: this file can't be read ({exc.strerror}): {lost}"
                raise ConfigError(msg) from None
            except ValueError:
                key = None
            if key is None:
                msg = f"{self.path}: there is no key in this file: {LOST.format(store=self._store)}"
                raise ConfigError(msg)
            self._read = LocalMaster(key, self.reference)
        return self._read


class NoMaster:
    """In a master's place where none is configured: the store's key lies in the store, which is no protection."""

    reference = ""

    def wrap(self, key: bytes) -> tuple[str, bytes]:
        """Give the key as it is."""
        return "", key

    def knows(self, mark: str) -> bool:
        """Compare."""
        return not mark

    def unwrap(self, mark: str, wrapped: bytes) -> bytes:
        """Give the key as it is."""
        del mark
        return wrapped


def masters(encryption: Encryption | None, *, own_file: Path | None, store: str) -> Sequence[Master]:
    """Give the master under which keys are wrapped, and after it those that may still open some."""
    given = [one for one in (encryption.key, encryption.previous) if one is not None] if encryption else []
    if given:
        return [*(_configured(one) for one in given), NoMaster()]
    return [NoMaster()] if own_file is None else [FileMaster(own_file, store)]


def _configured(secret: Secret) -> Master:
    if secret.reference.startswith("keyvault:"):
        from app.store.keyvault import VaultMaster  # noqa: PLC0415  (requests, for who has a vault)

        vault: Master = VaultMaster(secret.reveal())
        return vault
    key = decode_key(secret.reveal())
    if key is None:  # the settings' check came first
        raise ValueError
    return LocalMaster(key, secret.reference)
