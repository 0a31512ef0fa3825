"""Signing in to Dynamics: as an application by secret or certificate, as a user; every way it can fail has its code."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from app.destinations.base import Sent
from app.destinations.entra_certificate import check_certificate
from app.settings import Secret
from tests.standins.dynamics_use import Office, failed, parcel, parcels
from tests.standins.entra import HTML, JSON, PAGE, USERNAME, pem_of, self_signed

# msal finds a user's name and password out of fashion; Microsoft 365 sign-in is a documented way to set a CRM up.
pytestmark = pytest.mark.filterwarnings("ignore:This API has been deprecated for public client flows")
USER = {"auth": "user", "tenant_id": None, "client_secret": None, "username": USERNAME, "password": "env:PASSWORD"}


@pytest.fixture
def office(server_tls, ca_bundle, monkeypatch):
    with Office(server_tls=server_tls, ca_bundle=ca_bundle, monkeypatch=monkeypatch) as one:
        yield one


@pytest.fixture(scope="module")
def certificate():
    return self_signed()


def both(destination):
    """What sending and checking fail with: the same."""
    sending = failed(lambda: destination.send(parcels(3)))
    checking = failed(destination.check)
    assert (sending.code, sending.status) == (checking.code, checking.status)
    return sending


# --- as an application

WRONG = [
    ({"tenant_id": "22222222-2222-2222-2222-222222222222"}, "AADSTS90002"),
    ({"tenant_id": "contoso.example"}, "AADSTS90002"),
    ({"tenant_id": "nonsense"}, "AADSTS900023"),
    ({"client_id": "22222222-2222-2222-2222-222222222222"}, "AADSTS700016"),
    ({"client_secret": "env:WRONG_SECRET"}, "AADSTS7000215"),
]


@pytest.mark.parametrize(("changes", "code"), WRONG)
def test_a_wrong_setting_is_named_by_entras_number(office, changes, code):
    failure = both(office.destination(**changes))
    assert failure.code == code
    assert failure.status in {400, 401}
    assert office.crm.calls == []


def test_an_expired_secret_is_told_from_a_wrong_one(office):
    office.entra.secret_expired = True
    assert both(office.destination()).code == "AADSTS7000222"


def test_an_address_that_entra_knows_nothing_of_is_named(office):
    """The environment's address is what the token is for: a wrong one is found at the sign-in already."""
    office.entra.resources.clear()
    assert both(office.destination()).code == "AADSTS500011"


@pytest.mark.parametrize("number", [53003, 65001, 90033])
def test_any_other_refusal_is_named_by_its_number(office, number):
    office.entra.refusal = number
    assert both(office.destination()).code == f"AADSTS{number}"


OUTAGES = [
    ((503, HTML, PAGE), None, 503),
    ((500, JSON, json.dumps({"error": "server_error"}).encode()), "server_error", 500),
    ((200, HTML, PAGE), "dynamics-answer-unreadable", 200),
    ((302, {"Location": "https://login.contoso.example/"}, b""), None, 302),
]


@pytest.mark.parametrize(("outage", "code", "status"), OUTAGES)
def test_a_sign_in_service_that_is_not_itself_is_a_failure(office, outage, code, status):
    office.entra.outage = outage
    failure = both(office.destination())
    assert (failure.code, failure.status) == (code, status)


def test_mending_the_cause_is_enough(office):
    """Nothing is remembered of a refusal, not for a minute either."""
    crm = office.destination()
    office.entra.secret_expired = True
    assert failed(lambda: crm.send([parcel()])).code == "AADSTS7000222"
    office.entra.secret_expired = False
    assert crm.send([parcel()]) == [Sent(parcel().delivery_id)]


def test_a_token_that_was_withdrawn_is_asked_for_anew_once(office):
    crm = office.destination()
    crm.send([parcel()])
    office.entra.tokens.clear()
    assert isinstance(crm.send([parcel(2)])[0], Sent)
    assert office.entra.asked["token"] == 2


def test_an_environment_that_takes_no_token_is_asked_twice_and_no_more(office):
    crm = office.destination()
    office.crm.entra = type("Nobody", (), {"tokens": {}, "url": office.entra.url})
    failure = failed(lambda: crm.send([parcel()]))
    assert (failure.code, failure.status) == (None, 401)
    assert (office.crm.batches, office.entra.asked["token"]) == (2, 2)


# --- by certificate


def test_a_certificate_signs_in_by_the_thumbprint_that_is_computed_from_it(office, certificate, monkeypatch):
    monkeypatch.setenv("CERTIFICATE", pem_of(*certificate))
    office.entra.certificate = certificate[1]
    crm = office.destination(client_secret=None, certificate="env:CERTIFICATE")
    assert isinstance(crm.send([parcel()])[0], Sent)


def test_a_certificate_that_the_application_does_not_have_is_named(office, certificate, monkeypatch):
    monkeypatch.setenv("CERTIFICATE", pem_of(*certificate))
    office.entra.certificate = self_signed()[1]
    assert both(office.destination(client_secret=None, certificate="env:CERTIFICATE")).code == "AADSTS700027"


def unusable(certificate):
    """PEM texts that are no certificate with its key, and what is said of them."""
    key, public = certificate
    pem = pem_of(key, public)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")).decode()
    curved = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    only = public.public_bytes(Encoding.PEM).decode()
    return {
        "": "no private key",
        only: "no private key",
        pem.removesuffix(only): "no certificate",
        locked + only: "pass phrase",
        curved.decode() + only: "not an RSA key",
        pem_of(self_signed()[0], public): "another certificate",
        pem.replace("\n", "\nAAAA", 1): "cut off",
    }


def test_a_certificate_that_cannot_sign_in_is_refused_without_repeating_it(certificate):
    for pem, said in unusable(certificate).items():
        with pytest.raises(ValueError, match=said) as refused:
            check_certificate(Secret(pem))
        assert "BEGIN" not in str(refused.value)


# --- as a user


def test_a_user_signs_in_by_name_and_password(office):
    crm = office.destination(**USER)
    assert all(isinstance(outcome, Sent) for outcome in crm.send(parcels(3)))


def test_a_users_token_is_kept_until_shortly_before_its_end(office):
    crm = office.destination(**USER)
    for number, seconds in enumerate((0, 3000, 400)):
        office.clock.pass_(seconds)
        crm.send([parcel(number)])
    assert office.entra.asked == {"discovery": 1, "token": 2}


def test_a_thousand_leads_of_a_user_arrive_in_twelve_calls_too(office):
    crm = office.destination(**USER)
    for first in range(0, 1000, 100):
        crm.send(parcels(100, first=first))
    assert len(office.crm.leads) == 1000
    assert len(office.crm.calls) + len(office.entra.calls) == 12


def test_a_users_name_stands_in_no_address(office):
    office.destination(**USER).send([parcel()])
    assert not [path for _, path in office.entra.calls if "someone" in path]


def test_a_users_token_that_was_withdrawn_is_asked_for_anew_once(office):
    crm = office.destination(**USER)
    crm.send([parcel()])
    office.entra.tokens.clear()
    assert isinstance(crm.send([parcel(2)])[0], Sent)


USERS = [
    ({"username": "nobody@contoso.com"}, None, "AADSTS50034"),
    ({"password": "env:WRONG_SECRET"}, None, "AADSTS50126"),
    ({}, 50053, "AADSTS50053"),
    ({}, 50055, "AADSTS50055"),
    ({}, 50057, "AADSTS50057"),
    ({}, 50076, "AADSTS50076"),
]


@pytest.mark.parametrize(("changes", "refusal", "code"), USERS)
def test_a_user_who_cannot_sign_in_is_told_why_by_number(office, changes, refusal, code):
    office.entra.refusal = refusal
    failure = both(office.destination(**USER | changes))
    assert failure.code == code
    assert "someone" not in f"{failure!s} {failure!r}"
