"""Salesforce: a lead becomes a record of the Lead object, up to 200 of them in one call.

A lead is written once: by upsert over an external id of the org's, or by looking for our mark first when an earlier
attempt may have arrived. What is in Salesforce already is left as it is, whatever a salesperson made of it.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from app.destinations.base import DeliveryFailed, Postponed, Sent, Usage, http_session
from app.destinations.salesforce.check import problems, remarks
from app.destinations.salesforce.describe import LeadObject, read_describe
from app.destinations.salesforce.erasing import NOT_THERE, delete
from app.destinations.salesforce.errors import ABOUT_FIELDS
from app.destinations.salesforce.lookup import Lookup
from app.destinations.salesforce.outcomes import outcomes_of
from app.destinations.salesforce.record import Recorder
from app.destinations.salesforce.settings import SalesforceSchema, sign_in_of
from app.destinations.salesforce.signin import RETIRES, SignIn
from app.destinations.salesforce.wire import Allowance, Api, Limits, Wire
from app.log import logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    import requests

    from app.destinations.base import DestinationSchema, Erasure, Outcome, Parcel, Record, Tools

MAX_RECORDS = 200  # a collection
MAX_BYTES = 4_000_000  # a call; the API takes about 6 MB
LOOK_AGAIN = timedelta(minutes=5)  # at most that often is the object described anew because of refusals
NOBODY = "00000000-0000-0000-0000-000000000000"


class Salesforce:
    """Writes leads to the Lead object of one org."""

    schema: ClassVar[type[DestinationSchema]] = SalesforceSchema
    takes_notices: ClassVar[bool] = False
    max_batch: int = MAX_RECORDS
    limits: Limits = Limits()

    def __init__(self, name: str, settings: Mapping[str, Any], tools: Tools) -> None:
        """Take validated settings; nothing is opened before the first call."""
        self.name = name
        self._settings = settings
        self._now = tools.now
        self._recorder = Recorder(settings)
        self._allowance = Allowance(reserve_percent=settings["reserve_percent"], now=tools.now)
        self._http: requests.Session | None = None
        self._made: tuple[Wire, Api] | None = None
        self._lead: LeadObject | None = None
        self._described_at: datetime | None = None
        self._warned = settings["auth"] != "password"

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Write the parcels; one that is refused leaves its neighbours alone.

        Raises:
            DeliveryFailed: signing in, the describe or the search for earlier attempts failed; nothing was written.

        """
        self._warn()
        later = self._allowance.closed_until()
        if later is not None:
            return [Postponed(later)] * len(parcels)
        api = self._connected()
        lead = self._described(api)
        again = [parcel.delivery_id for parcel in parcels if parcel.redelivery]
        there = Lookup(self._settings, api, now=self._now).find(again, lead) if again else {}
        outcomes: dict[str, Outcome] = {id_: Sent(remote_id) for id_, remote_id in there.items()}
        left = [parcel for parcel in parcels if parcel.delivery_id not in there]
        outcomes |= self._written(left, lead, api)
        self._judge(outcomes)
        return [outcomes[parcel.delivery_id] for parcel in parcels]

    def erase(self, records: Sequence[Record]) -> list[Erasure]:
        """Delete the leads, looking for those whose record id is not known; the user needs the right to delete leads.

        Raises:
            DeliveryFailed: a call failed; deleting again does no harm.

        """
        api = self._connected()
        unknown = [one.delivery_id for one in records if one.remote_id is None]
        there = Lookup(self._settings, api, now=self._now).find(unknown, self._described(api)) if unknown else {}
        names = [one.remote_id or there.get(one.delivery_id) for one in records]
        done = delete(api, list(dict.fromkeys(name for name in names if name)))
        return [done[name] if name else NOT_THERE for name in names]

    @property
    def usage(self) -> Usage | None:
        """What Salesforce last said of the org's calls, or of this app's where those are nearer to their end."""
        fullest = self._allowance.fullest()
        return Usage(*fullest, "API calls in 24 hours") if fullest else None

    def check(self) -> str:
        """Sign in, read what a lead is in this org, look for a delivery that isn't there; nothing is written.

        Raises:
            DeliveryFailed: what `send` would run into; `Misconfigured` names the fields it is about.

        """
        api = self._connected()
        self._lead = None
        lead = self._described(api)
        wrong = problems(self._settings, lead)
        if wrong:
            raise wrong[0]
        Lookup(self._settings, api, now=self._now).find([NOBODY], lead)
        told = [f"{api.session().instance_url}, {sign_in_of(self._settings)}: may create leads", self._usage(api)]
        told += [f"recognised by {self._settings['external_id_field'] or self._settings['marker_field']}"]
        told += remarks(self._settings, lead)
        told += [RETIRES] if self._settings["auth"] == "password" else []
        return "; ".join(told)

    def close(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            self._http.close()
        self._http = self._made = None

    def _connected(self) -> Api:
        """Give the API, made once because sessions belong to the lane's thread, with a fresh clock for what comes."""
        if self._made is None:
            self._http = http_session(self._settings["ca_bundle"])
            wire = Wire(self._http, now=self._now, allowance=self._allowance, limits=self.limits)
            sign_in = SignIn(self._settings, wire=wire, now=self._now)
            self._made = wire, Api(wire, sign_in, version=self._settings["api_version"])
        wire, api = self._made
        wire.begin()
        return api

    def _warn(self) -> None:
        """Log once that the way in is about to end; `check` says it in its own line."""
        if not self._warned:
            self._warned = True
            logger("salesforce").warning("salesforce.soap_login_retires", destination=self.name, remedy=RETIRES)

    def _described(self, api: Api) -> LeadObject:
        """Give what a lead is in this org, asked once a process and again when a refusal makes it doubtful."""
        if self._lead is None:
            self._lead = read_describe(api.call("GET", "/sobjects/Lead/describe"))
            self._described_at = self._now()
        return self._lead

    def _judge(self, outcomes: Mapping[str, Outcome]) -> None:
        """Forget the describe if a refusal says that the org has changed."""
        doubtful = any(isinstance(one, DeliveryFailed) and one.code in ABOUT_FIELDS for one in outcomes.values())
        if doubtful and self._described_at is not None and self._now() - self._described_at >= LOOK_AGAIN:
            self._lead = None

    def _written(self, parcels: Sequence[Parcel], lead: LeadObject, api: Api) -> dict[str, Outcome]:
        """Write in as few calls as possible; what one call meets as a whole, those after it are spared."""
        outcomes: dict[str, Outcome] = {}
        common: Outcome | None = None
        for group, records in self._calls(parcels, lead):
            if common is None:
                later = self._allowance.closed_until()
                common = Postponed(later) if later is not None else None
            given: Sequence[Outcome] = [common] * len(group) if common else ()
            if common is None:
                try:
                    given = self._write(records, lead, api)
                except DeliveryFailed as failure:
                    common = failure
                    given = [failure] * len(group)
            outcomes |= {parcel.delivery_id: one for parcel, one in zip(group, given, strict=True)}
        return outcomes

    def _calls(self, parcels: Sequence[Parcel], lead: LeadObject) -> Iterator[tuple[list[Parcel], list[str]]]:
        """Sort parcels into what one call takes, each with its records as JSON."""
        group: list[Parcel] = []
        records: list[str] = []
        size = 0
        for parcel in parcels:
            record = {"attributes": {"type": "Lead"}, **self._recorder.record(parcel, lead)}
            text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
            length = len(text.encode())
            if group and (len(group) == MAX_RECORDS or size + length > MAX_BYTES):
                yield group, records
                group, records, size = [], [], 0
            group.append(parcel)
            records.append(text)
            size += length
        if group:
            yield group, records

    def _write(self, records: Sequence[str], lead: LeadObject, api: Api) -> Sequence[Outcome]:
        """Write one collection; a record is upserted over the external id, where there is one, else inserted."""
        external = self._settings["external_id_field"]
        field = lead.field(external) if external else None
        path = "/composite/sobjects" + (f"/Lead/{field.name if field else external}" if external else "")
        body = f'{{"allOrNone":false,"records":[{",".join(records)}]}}'.encode()
        told = api.call("PATCH" if external else "POST", path, body=body, headers=self._headers())
        return outcomes_of(told, count=len(records), lead=lead, external=external)

    def _headers(self) -> dict[str, str]:
        """Say how the org's own rules shall take our leads."""
        rule = self._settings["assignment_rule"]
        headers = {"Sforce-Auto-Assign": str(rule).upper() if isinstance(rule, bool) else rule}
        if self._settings["duplicate_rule"] == "allow":
            headers["Sforce-Duplicate-Rule-Header"] = "allowSave=true"
        return headers

    def _usage(self, api: Api) -> str:
        """Say how much of the day's calls is used; asked for only if no answer brought it along."""
        if not self._allowance.counts:
            told = api.call("GET", "/limits")
            daily = told.get("DailyApiRequests") if isinstance(told, dict) else None
            if (
                isinstance(daily, dict)
                and isinstance(daily.get("Max"), int)
                and isinstance(daily.get("Remaining"), int)
            ):
                self._allowance.note(f"api-usage={daily['Max'] - daily['Remaining']}/{daily['Max']}")
        if not self._allowance.counts:
            return "calls of the day unknown"
        used, allowed = self._allowance.counts[0]
        return f"{used} of {allowed} calls of the day used"
