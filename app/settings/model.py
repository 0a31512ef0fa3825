"""What can be configured: plain, frozen values. Defaults and checks stand in `schema`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta
    from ipaddress import IPv4Network, IPv6Network
    from pathlib import Path

    from app.settings.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where and how leads are received."""

    bind: str
    workers: int
    max_body_bytes: int
    trusted_proxies: int
    public_url: str

    @property
    def address(self) -> tuple[str, int]:
        """Give host and port."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many a minute each receiver takes; 0: any number."""

    wrong_keys_a_minute: int  # from one address
    leads_a_minute: int  # with one key
    requests_a_minute: int  # from one address, of whatever is no lead


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Which database."""

    url: str
    password: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """Where the master key is, and the one that it replaces; None: the store's own way."""

    key: Secret | None
    previous: Secret | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Whose data is withheld."""

    withhold_domains: tuple[str, ...]
    edu_action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """How long the same lead counts as the same."""

    window_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLeads:
    """What happens to test leads; `destinations` None means wherever customers' leads go."""

    deliver: bool
    keep_days: int
    destinations: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """When to try again, and how long a worker may hold a lead."""

    schedule: tuple[timedelta, ...]
    lease_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept, in days."""

    leads_days: int
    quarantine_days: int
    attempts_days: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """How people sign in."""

    enabled: bool
    password: Secret | None
    sign_in: str
    tenant_id: str | None
    client_id: str | None
    client_secret: Secret | None
    authority: str
    ca_bundle: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alerts:
    """Who is told when something needs a person; `via` names an e-mail destination.

    What may pass by itself is told `after`; `escalate` are the ages at which it is told again. The three limits say
    when too little comes in, something waits too long, or nobody works; 0 switches one off.
    """

    via: str | None
    to: tuple[str, ...]
    webhook: Secret | None
    webhook_format: str
    after: timedelta
    escalate: tuple[timedelta, ...]
    quiet_days: float
    oldest_minutes: float
    worker_minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One sender: its live keys, where its leads go by default, and where they may come from; () is anywhere."""

    keys: tuple[Secret, ...]
    destinations: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where leads go that match every given condition; None matches all."""

    offer: tuple[str, ...] | None
    action: tuple[str, ...] | None
    source: tuple[str, ...] | None
    test: bool | None
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration; `destinations` holds each table as it stands, for its type's own schema."""

    server: Server
    limits: Limits
    store: Store
    encryption: Encryption
    privacy: Privacy
    duplicates: Duplicates
    test_leads: TestLeads
    delivery: Delivery
    retention: Retention
    console: Console
    alerts: Alerts
    sources: dict[str, Source]
    routes: tuple[Route, ...]
    destinations: dict[str, dict[str, Any]]
    path: Path | None  # None: the defaults

    @property
    def where(self) -> str:
        """Name the configuration for messages."""
        return str(self.path) if self.path else "the built-in defaults"
