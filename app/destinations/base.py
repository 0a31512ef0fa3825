"""What every destination is: the protocol, the parcels it takes and the outcomes it gives.

A destination turns parcels into calls of one outside system and each answer into an outcome. It never retries
(the outbox is the only retrier), never waits without a timeout, and never puts a person's data or a secret into
an error. Recognising what an error means is the catalogue's work: here it is only read, in the system's own words.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from marshmallow import RAISE, Schema, ValidationError, fields, validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import requests

    from app.lead import Lead

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 60.0  # seconds; well under [delivery] lease_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One lead on its way to one destination; `delivery_id` stays the same over every attempt."""

    delivery_id: str
    lead_id: str
    received_at: datetime  # aware, UTC
    source: str
    test: bool
    lead: Lead
    withheld_domain: str | None = None  # set: a notice that such a lead came; `lead` has nothing personal
    redelivery: bool = False  # an earlier attempt may have reached the system: look before writing twice
    leased_until: datetime | None = None  # from then on another worker may send it too


@dataclass(frozen=True, slots=True)
class Sent:
    """The system has the lead, durably; `remote_id` is its own name for it, where it gives one."""

    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing was attempted: the destination wants this parcel again at `until` (aware, UTC)."""

    until: datetime


class DeliveryFailed(Exception):  # noqa: N818  (the name the outside knows)
    """An attempt that failed; an outcome of one parcel, or raised for the whole batch.

    `code` is the system's own ("AuthenticationFailed", "535 5.7.139", "AADSTS7000215") or one of `network.*`;
    `status` the HTTP or SMTP status; `detail` the system's text, for recognition only, never stored or logged as
    it is; `retry_after` seconds the system asked us to wait; `about` what `check` may show a person beside the
    catalogue's words: names of settings, columns or values of the configuration, never of a lead. `str()` gives code
    and status, nothing else.
    """

    def __init__(
        self,
        code: str | None = None,
        *,
        status: int | None = None,
        detail: str = "",
        retry_after: float | None = None,
        about: str = "",
    ) -> None:
        """Keep what the system said."""
        super().__init__(code, status)
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.about = about

    def __str__(self) -> str:
        return f"{self.code or 'no code'} (status {self.status if self.status is not None else 'none'})"


Outcome = Sent | Postponed | DeliveryFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a destination holds of a lead that is to be erased, or may hold: then it has no `remote_id`."""

    delivery_id: str
    lead_id: str
    received_at: datetime  # aware, UTC
    remote_id: str | None


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of a record: whether nothing of it is left there that a user could see, and that in plain words."""

    erased: bool
    told: str


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a known limit is used, such as 120 of 15,000 "API calls in 24 hours"."""

    used: int
    allowed: int  # above 0
    of: str  # what is counted, in which time


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a destination may use of ours."""

    now: Callable[[], datetime]
    public_url: str  # how the outside reaches this server, no trailing slash
    console: bool = True  # whether there is a console below `public_url`


class DestinationSchema(Schema):
    """The settings every destination has; each type's schema inherits from it."""

    class Meta:
        """What is unknown is refused."""

        unknown = RAISE

    type = fields.String(required=True)


def no_control(value: str) -> None:
    """Refuse an empty setting, and one that white space or a control character got into while it was pasted.

    Raises:
        ValidationError: it is one.

    """
    if not value or re.search(r"[\x00-\x20\x7f-\xa0]", value):
        msg = "empty, or has a space or control character in it"
        raise ValidationError(msg)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, so that nothing sent to it crosses a network."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


class NetworkSchema(DestinationSchema):
    """The settings every destination that uses the network has."""

    ca_bundle = fields.String(load_default=None, validate=validate.Length(min=1))


class Destination(Protocol):
    """One configured destination. Made by its lane's thread and used by that thread only."""

    schema: ClassVar[type[DestinationSchema]]
    takes_notices: ClassVar[bool]  # wants to hear of withheld leads (without their data)
    max_batch: int  # parcels a call

    def __init__(self, name: str, settings: Mapping[str, Any], tools: Tools) -> None:
        """Take validated settings; touch neither network nor SDK that is slow to import."""
        ...

    @property
    def usage(self) -> Usage | None:
        """What is used of the tightest limit that is known; None where none is. Asks nobody."""
        ...

    def send(self, parcels: Sequence[Parcel]) -> Sequence[Outcome]:
        """Deliver, giving one outcome a parcel in the same order.

        Raises:
            DeliveryFailed: the whole batch failed the same way and none of it arrived as far as is known.

        """
        ...

    def check(self) -> str:
        """Try address, credentials and permission for real, writing no lead; say what was found in one line.

        Raises:
            DeliveryFailed: what `send` would run into.

        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class OneByOne(Protocol):
    """A destination whose writes can't be repeated unseen: each outcome is recorded before it goes on."""

    def sending(self, parcels: Sequence[Parcel]) -> Iterator[Mapping[str, Outcome]]:
        """Deliver as `send` does, giving outcomes by delivery id as they become known."""
        ...


@runtime_checkable
class Eraser(Protocol):
    """A destination that can say what becomes of records when a person is to be forgotten; not all can erase them."""

    def erase(self, records: Sequence[Record]) -> Sequence[Erasure]:
        """Erase records, giving what became of each in the same order; what is not there counts as erased.

        Raises:
            DeliveryFailed: none could be erased, as far as is known.

        """
        ...


def http_session(ca_bundle: str | None) -> requests.Session:
    """Make a session: timeouts on every call, no retries, no redirects followed, nothing of ~/.netrc, our CA first.

    `REQUESTS_CA_BUNDLE` in the environment would win over `session.verify`, so verification is set on each
    request instead (measured with requests 2.34).
    """
    import requests  # noqa: PLC0415  (only lanes that speak HTTP pay for it)
    from requests.auth import HTTPBasicAuth  # noqa: PLC0415  (as above)
    from requests.utils import get_auth_from_url  # noqa: PLC0415  (as above)

    class _Session(requests.Session):
        def request(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401  (requests' own interface)
            kwargs["timeout"] = kwargs.get("timeout") or (CONNECT_TIMEOUT, READ_TIMEOUT)
            kwargs["allow_redirects"] = False  # only the configured host gets leads and tokens; get() would follow
            if ca_bundle:
                kwargs["verify"] = ca_bundle
            try:
                return super().request(*args, **kwargs)
            except requests.RequestException:
                raise
            except OSError as exc:  # requests' way to say that the file of a CA bundle isn't there
                if "CA certificate bundle" not in str(exc):
                    raise
                why = "there is no file at ca_bundle (or at REQUESTS_CA_BUNDLE of the environment)"
                raise DeliveryFailed(code="network.tls-untrusted", detail=why, about=why) from None

    def own_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Take a name and password out of the address; left to itself, requests puts ~/.netrc's over our tokens."""
        name, password = get_auth_from_url(request.url or "")
        return HTTPBasicAuth(name, password)(request) if name or password else request

    session = _Session()
    session.auth = own_auth
    return session


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Every exception that stands behind `exc`, also nested the way of urllib3 (`reason`) or Azure's SDKs."""
    seen: set[int] = set()
    waiting: list[object] = [exc]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            inner = (getattr(one, name, None) for name in ("reason", "inner_exception"))
            waiting += [one.__cause__, one.__context__, *inner, *one.args]


# What OpenSSL says of a line that went dead; that is a passing fault, whatever it was in the middle of.
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def network_failure(exc: BaseException, *, at: str = "") -> DeliveryFailed:
    """Read an exception of socket, ssl, requests, urllib3 or an SDK on top of them as one of `network.*`.

    `at` names a host other than the destination's own, such as the sign-in service.
    """
    found = list(_causes(exc))
    names = {base.__name__ for one in found for base in type(one).__mro__}
    untrusted = next((one for one in found if isinstance(one, ssl.SSLError) and not isinstance(one, _HUNG_UP)), None)
    why = ""
    if "ProxyError" in names:
        code = "network.proxy-failed"
        why = next((str(one) for one in found if str(one).startswith("Tunnel connection failed: ")), "")
    elif any(isinstance(one, socket.gaierror) for one in found) or "NameResolutionError" in names:
        code = "network.name-not-resolved"
    elif untrusted is not None:
        code = "network.tls-untrusted"
        why = next(filter(None, (getattr(untrusted, name, "") for name in ("verify_message", "reason"))), "")
    elif any(isinstance(one, ConnectionRefusedError) for one in found):
        code = "network.refused"
    elif any(isinstance(one, TimeoutError) for one in found) or names & {"Timeout", "TimeoutError"}:
        code = "network.timeout"
    else:
        code = "network.interrupted"
    at = f"{at}: " if at else ""
    return DeliveryFailed(code, detail=f"{at}{why or type(exc).__name__}", about=f"{at}{why}".removesuffix(": "))


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds from a `Retry-After` header, in seconds or as an HTTP date; None where it says nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
