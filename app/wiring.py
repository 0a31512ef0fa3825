"""Settings → the few long-lived objects, in one place."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from marshmallow import ValidationError

from app.catalogue import Catalogue, CatalogueError, shipped_folder
from app.destinations import UnknownType, load_type, types
from app.destinations.base import Tools
from app.intake import Intake
from app.privacy import Withholding
from app.retry import horizon
from app.routing import Router
from app.settings import ConfigError, config_error, find_config, load_settings
from app.store import Store, open_store
from app.store.committer import ADDRESS
from app.store.handover import Handover
from app.store.inbox import Inbox
from app.store.tables import to_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.access import Access
    from app.alerts.channels import Channel
    from app.delivery import Lane
    from app.destinations.base import Destination
    from app.destinations.email import Email
    from app.operations import Operations
    from app.settings import Settings
    from app.store.outbox import Outbox

# Imported at the top is what the first lead needs: senders wait for it after a restart. The rest is imported by whoever
# asks for it.

BLOB_ADVICE = (
    'type "azure_blob" is not taken: the marketplace retired blob storage as a lead destination and leads sent there '
    "were lost. Choose another, for example azure_table."
)


def utc_now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def load_catalogue(config: Path | None) -> Catalogue:
    """Read the error catalogue: what we ship, then what stands next to the configuration file.

    Raises:
        ConfigError: a file of it is wrong; file, entry and key named.

    """
    own = [config.parent / "errors"] if config else []
    try:
        return Catalogue.load(shipped_folder(), *own)
    except CatalogueError as exc:
        raise ConfigError(str(exc)) from None


@dataclass(frozen=True)
class Wiring:
    """What a process of ours needs, made when first asked for."""

    settings: Settings
    now: Callable[[], datetime] = utc_now
    _kinds: dict[str, type[Destination]] = field(default_factory=dict)
    _loaded: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_file(
        cls, given: str | None = None, *, now: Callable[[], datetime] = utc_now, checked: bool = False
    ) -> Wiring:
        """Read the configuration and check all of it, destinations included; the catalogue unless it is `checked`.

        Raises:
            ConfigError: what is wrong, file and key named.

        """
        return cls.of(load_settings(find_config(given)), now=now, checked=checked)

    @classmethod
    def of(cls, settings: Settings, *, now: Callable[[], datetime] = utc_now, checked: bool = False) -> Wiring:
        """Check the destinations' tables against their types' schemas; and the catalogue unless it is `checked`.

        Raises:
            ConfigError: what is wrong, file and key named.

        """
        wiring = cls(settings, now)
        faults = []
        for name, table in settings.destinations.items():
            try:
                wiring._kinds[name], wiring._loaded[name] = _destination(settings, name, table)
            except ConfigError as fault:
                faults.append(str(fault))
        faults += _shared_files(settings, wiring._loaded)
        if faults:
            raise ConfigError("\n".join(faults))
        if not checked:
            _ = wiring.catalogue  # what is wrong there must be said before a lead comes, not after one failed
        return wiring

    @cached_property
    def store(self) -> Store:
        """The store, not yet touched."""
        return open_store(self.settings.store.url, self.settings.store.password, self.settings.encryption)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The error catalogue."""
        return load_catalogue(self.settings.path)

    @cached_property
    def inbox(self) -> Inbox:
        """The way into the store."""
        return Inbox(self.store, window_ms=round(self.settings.duplicates.window_hours * 3_600_000))

    @cached_property
    def intake(self) -> Intake:
        """The first half of a lead's life."""
        settings = self.settings
        withheld = settings.privacy.withhold_domains if settings.privacy.edu_action == "withhold" else ()
        inbox = self.inbox
        return Intake(
            store=self.store,
            inbox=inbox,
            keeper=Handover(os.environ.get(ADDRESS), inbox),  # given by the `serve` that this process belongs to
            router=Router(settings),
            withholding=Withholding(withheld),
            notified=frozenset(name for name, kind in self._kinds.items() if kind.takes_notices),
            now=self.now,
        )

    @cached_property
    def access(self) -> Access:
        """Passwords, sessions, tokens."""
        from app.access import Access  # noqa: PLC0415  (no lead needs it)

        console = self.settings.console
        entra = f"{console.tenant_id} {console.client_id}" if console.sign_in == "entra" else ""
        return Access(self.store, console.password, self.now, entra)

    @cached_property
    def operations(self) -> Operations:
        """What people do: look, replay, release, erase."""
        from app.operations import Operations  # noqa: PLC0415  (no lead needs it)

        return Operations(
            store=self.store,
            settings=self.settings,
            catalogue=self.catalogue,
            intake=self.intake,
            access=self.access,
            kinds={name: table["type"] for name, table in self.settings.destinations.items()},
            try_destination=self._try,
            destination=self.destination,
            try_alerts=self._try_alerts,
            now=self.now,
        )

    @property
    def problems_link(self) -> str | None:
        """Where people look at problems; None without a console."""
        return f"{self.settings.server.public_url}/console/problems" if self.settings.console.enabled else None

    def alert_channels(self) -> list[Channel]:
        """Make the channels that alerts go out by."""
        from app.alerts import make_channels  # noqa: PLC0415  (receivers seldom have a use for them)

        def email(name: str) -> Email:
            return cast("Email", self.destination(name))

        return make_channels(self.settings.alerts, email=email, now=self.now)

    def _try_alerts(self) -> list[dict[str, Any]]:
        from app.alerts import try_channels  # noqa: PLC0415
        from app.store.alerts import AlertQueue  # noqa: PLC0415

        tried = try_channels(
            self.alert_channels(),
            catalogue=self.catalogue,
            id_=str(uuid.uuid4()),
            link=self.problems_link,
            now=self.now(),
        )
        queue = AlertQueue(self.store)
        for one in tried:
            if one["ok"]:  # what waited for this channel goes out as well
                queue.hurry(one["channel"], now=to_ms(self.now()))
        return tried

    def _try(self, name: str) -> tuple[str | None, str]:
        lane = self.lane(name, worker="check")
        try:
            return lane.check()
        finally:
            lane.destination.close()

    def outbox(self, *, worker: str) -> Outbox:
        """Make a worker's way out of the store."""
        from app.store.outbox import Outbox  # noqa: PLC0415  (what comes in doesn't need it)

        delivery = self.settings.delivery
        lease = timedelta(seconds=delivery.lease_seconds)
        return Outbox(self.store, worker=worker, lease=lease, horizon=horizon(delivery.schedule))

    def lane(self, name: str, *, worker: str) -> Lane:
        """Make the lane of one destination, with the destination itself."""
        from app.delivery import Lane  # noqa: PLC0415  (what comes in doesn't need it)

        return Lane(
            name=name,
            type=self.settings.destinations[name]["type"],
            destination=self.destination(name),
            outbox=self.outbox(worker=worker),
            catalogue=self.catalogue,
            schedule=self.settings.delivery.schedule,
            now=self.now,
        )

    def destination(self, name: str) -> Destination:
        """Make a destination."""
        console = self.settings.console.enabled
        tools = Tools(now=self.now, public_url=self.settings.server.public_url, console=console)
        return self._kinds[name](name, self._loaded[name], tools)


def _shared_files(settings: Settings, loaded: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Files that two of us would write: the store's, or one of two destinations."""
    taken = {}
    if settings.store.url.startswith("sqlite:///"):
        store = Path(settings.store.url.removeprefix("sqlite:///")).resolve()
        taken = {Path(f"{store}{end}"): "[store] url" for end in ("", "-wal", "-shm", ".lock", ".wake", ".key")}
    for name, values in loaded.items():
        if values["type"] == "file":
            path = Path(values["path"]).resolve()
            if path in taken:
                yield f"{settings.where}: [destinations.{name}] path: found the file of {taken[path]}; allowed: its own"
            taken[path] = f"[destinations.{name}]"


def _destination(settings: Settings, name: str, table: dict[str, Any]) -> tuple[type[Destination], dict[str, Any]]:
    """Find a destination's class and check its table against the class's own schema."""
    where = f"{settings.where}: [destinations.{name}] type"
    if table.get("type") == "azure_blob":
        msg = f"{where}: {BLOB_ADVICE} (azure_blob.retired)"
        raise ConfigError(msg)
    try:
        kind = load_type(str(table.get("type", "")))
    except UnknownType:
        found = repr(table["type"]) if "type" in table else "nothing"
        msg = f"{where}: found {found}; allowed: {', '.join(types())}"
        raise ConfigError(msg) from None
    schema = kind.schema()
    try:
        return kind, schema.load(table)
    except ValidationError as exc:
        raise config_error(settings.path, exc, table, schema, under=("destinations", name)) from None
