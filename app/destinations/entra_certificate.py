"""A certificate with its private key, by which an application signs in at Entra in place of a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.settings import Secret

_PEM = r"-----BEGIN ({kind})-----.+?-----END \1-----"
_KEY = re.compile(_PEM.format(kind="(?:RSA |ENCRYPTED )?PRIVATE KEY"), re.DOTALL)
_CERTIFICATE = re.compile(_PEM.format(kind="CERTIFICATE"), re.DOTALL)


def check_certificate(pem: Secret) -> tuple[str, str]:
    """Give private key and certificate out of a PEM text that holds both, as they stand in it.

    Raises:
        ValueError: says what is missing or wrong, and never repeats any of it.

    """
    from cryptography import x509  # noqa: PLC0415  (only who signs in by certificate pays for it)
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    key_found, certificate_found = _KEY.search(pem.reveal()), _CERTIFICATE.search(pem.reveal())
    if key_found is None or certificate_found is None:
        missing = "private key" if key_found is None else "certificate"
        msg = f"no {missing} in it: a PEM text with the certificate and its private key is needed"
        raise ValueError(msg)
    try:
        key = load_pem_private_key(key_found.group().encode(), None)
        public = x509.load_pem_x509_certificate(certificate_found.group().encode()).public_key()
    except TypeError:
        msg = "its private key is encrypted: Leadwire needs it without a pass phrase"
        raise ValueError(msg) from None
    except ValueError:
        msg = "its private key or its certificate can't be read: perhaps it was cut off when it was copied"
        raise ValueError(msg) from None
    if not isinstance(key, RSAPrivateKey):
        msg = "its private key is not an RSA key, the only kind that Entra takes"
        raise ValueError(msg)  # noqa: TRY004  (a wrong value of a setting)
    if key.public_key() != public:
        msg = "its private key belongs to another certificate"
        raise ValueError(msg)
    return key_found.group(), certificate_found.group()
