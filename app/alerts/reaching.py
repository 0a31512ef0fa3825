"""Sessions that look at the address they have reached before a word is said there.

What a name leads to is asked twice otherwise, once to check it and once to connect, and whoever answers for the name
may answer differently. The address of a connection that stands doesn't change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from app.destinations.base import DeliveryFailed, http_session
from app.settings.kinds import is_forbidden_host

if TYPE_CHECKING:
    import socket

    import requests


class AddressRefusedError(Exception):
    """A connection reached an address where nothing of ours may go."""


def guarded_session(refused: str) -> requests.Session:
    """Make a session that fails with the code `refused` where it reaches a link-local or metadata address.

    A proxy that the environment names is reached in place of the host, and knows by itself where not to go.
    """
    session = http_session(None)

    class _Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (requests' own interface)
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

        def send(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401  (as above)
            try:
                return super().send(*args, **kwargs)
            except AddressRefusedError:
                raise DeliveryFailed(refused) from None

    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter())
    return session


def _seen(reached: socket.socket) -> socket.socket:
    if is_forbidden_host(str(reached.getpeername()[0])):
        reached.close()
        raise AddressRefusedError
    return reached


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _seen(super()._new_conn())


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:  # before TLS
        return _seen(super()._new_conn())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection
