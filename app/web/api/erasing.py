"""Erasing: a person is forgotten, here and at the destinations."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from app.web.api.fields import Flag, email
from app.web.api.guard import who
from app.web.api.part import Part, operations
from app.web.api.schemas import Reason, Strict, each, flag, number, one, text, texts, time, uuid

part = Part("erasing", "Forgetting a person.")


class HeldElsewhere(Strict):
    """A destination that holds a lead that was erased here."""

    id = uuid()
    destination = text()
    remote_id = text(null=True)
    certain = flag()
    erased = fields.Boolean(required=True, metadata={"description": "Nothing of it is left there."})
    told = text(null=True, description="What became of it there, if that was asked for.")


class Counted(Strict):
    """How many rows were erased, by where they stood; of deliveries those that waited and are cancelled."""

    leads = number()
    quarantined = number()
    unsorted = number()
    deliveries = number()
    attempts = number()
    duplicate_keys = number()
    problem_texts = number()


class Erased(Strict):
    """What was forgotten, and who else holds it: a certificate to keep. It names no person."""

    dry_run = flag()
    at = time(null=True)
    actor = text(null=True)
    why = text(null=True)
    person = text(null=True, description="The keyed hash of the address, as `POST /leads/search` gives it.")
    erased = texts()
    counts = one(Counted, null=True)
    destinations = each(HeldElsewhere)
    audit_head = text(null=True, description="For `GET /audit/verification?head=`.")


class ErasingOne(Reason):
    """Whether to erase it at the destinations, too."""

    destinations = Flag(default=False)


class Erasing(ErasingOne):
    """Whom to forget."""

    email = email()
    dry_run = Flag(default=False)


@part.endpoint("POST", "/leads/<uuid:id>/erase", body=ErasingOne, gives=Erased, refusal=404)
def erase_lead(*, id_: str, destinations: bool, why: str = "") -> Any:  # noqa: ANN401
    """Forget who one lead was; says which destinations hold it still, or may."""
    operations().show(id_)
    return {"dry_run": False, **operations().erase([id_], who=who(why), destinations=destinations)}


@part.endpoint("POST", "/erasures", body=Erasing, gives=Erased, refusal=409)
def erase(*, email: str, dry_run: bool, destinations: bool, why: str = "") -> Any:  # noqa: ANN401
    """Forget a person: every lead and quarantined body with this e-mail address."""
    ids = operations().find_person(email)
    if dry_run:
        nothing = dict.fromkeys(("at", "actor", "why", "person", "counts", "audit_head"))
        return {"dry_run": True, "erased": ids, "destinations": [], **nothing}
    done = operations().erase(ids, who=who(why), email=email, destinations=destinations)
    return {"dry_run": False, **done}
