"""Sealing: what is personal is kept as AES-256-GCM under a key of its own, and that key under the store's.

Each text gets a fresh data key, which the store's key (the key-encryption key) wraps. Without the wrapped key nothing
is left that could be read: whoever deletes it has shredded the text, in every copy that is made from then on. Both
seals name the row that they belong to, so that none opens in another's place.
"""

from __future__ import annotations

import os
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTES = 32
NONCE_BYTES = 12  # GCM's own size; random ones are good for 2^32 wrappings under one key
LEAD, BODY = b"lead ", b"body "  # what a seal is about; the row's id follows

_HEAD = struct.Struct(">I")
_RANDOM_BYTES = KEY_BYTES + 2 * NONCE_BYTES
_FETCH_BYTES = 64 * _RANDOM_BYTES


class SealBroken(Exception):  # noqa: N818  (a state of the store, not a mistake of ours)
    """What is kept was changed outside of this program, or moved from another row; the message has no data in it."""


class _Random:
    """The system's randomness, fetched for many seals at once: each fetch lets go of the interpreter, and others wait.

    Bytes are given once, and never to two processes: a fork begins without any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = b""
        os.register_at_fork(after_in_child=self.forget)

    def __call__(self, number: int) -> bytes:
        with self._lock:
            if len(self._left) < number:
                self._left = os.urandom(_FETCH_BYTES)
            given, self._left = self._left[:number], self._left[number:]
        return given

    def forget(self) -> None:
        """Begin anew."""
        self._lock, self._left = threading.Lock(), b""


_random = _Random()


class Sealed(NamedTuple):
    """A sealed text as it stands in the store: the text, and the wrapped key without which it can't be read."""

    sealed: bytes
    data_key: bytes


class KeyEncryptionKey:
    """The key that wraps others; `number` is its own in the store."""

    __slots__ = ("_encrypt", "_head", "decrypt", "number")

    def __init__(self, number: int, key: bytes) -> None:
        """Take 32 bytes."""
        self.number = number
        aead = AESGCM(key)  # made once: it costs more than a small encryption
        self._encrypt: Callable[[bytes, bytes, bytes], bytes] = aead.encrypt
        self.decrypt: Callable[[bytes, bytes, bytes], bytes] = aead.decrypt
        self._head = _HEAD.pack(number)

    def seal(self, text: bytes, about: bytes) -> Sealed:
        """Seal a text under a fresh key."""
        fresh = _random(_RANDOM_BYTES)
        data_key, nonce, wrapping = fresh[:KEY_BYTES], fresh[KEY_BYTES:-NONCE_BYTES], fresh[-NONCE_BYTES:]
        sealed = nonce + AESGCM(data_key).encrypt(nonce, text, about)
        return Sealed(sealed, self._head + wrapping + self._encrypt(wrapping, data_key, about))

    def wrap(self, key: bytes, about: bytes) -> bytes:
        """Wrap a key; the number of this one stands in front."""
        nonce = _random(NONCE_BYTES)
        return self._head + nonce + self._encrypt(nonce, key, about)

    def unwrap(self, wrapped: bytes, about: bytes) -> bytes:
        """Give back a key that this one wrapped.

        Raises:
            SealBroken: it is another's, or was changed.

        """
        start = _HEAD.size + NONCE_BYTES
        try:
            return self.decrypt(wrapped[_HEAD.size : start], wrapped[start:], about)
        except (InvalidTag, ValueError):  # ValueError: too short to be one
            raise SealBroken(_broken(about)) from None

    def open(self, one: Sealed, about: bytes) -> bytes:
        """Give back the text.

        Raises:
            SealBroken: it was changed, or belongs elsewhere.

        """
        data_key = self.unwrap(one.data_key, about)
        try:
            return AESGCM(data_key).decrypt(one.sealed[:NONCE_BYTES], one.sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):
            raise SealBroken(_broken(about)) from None


def wrapped_by(data_key: bytes) -> int:
    """Give the number of the key that wrapped another.

    Raises:
        SealBroken: that is no wrapped key.

    """
    if len(data_key) <= _HEAD.size:
        msg = "a wrapped key in the store was cut off"
        raise SealBroken(msg)
    return int(_HEAD.unpack_from(data_key)[0])


def _broken(about: bytes) -> str:
    return f"the seal of {about.decode()} is broken: it was changed outside of Leadwire, or belongs to another row"
