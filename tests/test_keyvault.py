"""A master key in Azure Key Vault: asked once a process, by this machine's own identity, and told clearly when not."""

import socket
import ssl

import pytest
import trustme

from app.settings import ConfigError, Secret
from app.settings.model import Encryption
from app.store import StoreUnavailable, open_store
from app.store.resealing import renew
from app.store.views import Views
from tests.parts.arrivals import NOW, SOMEONE, arrival, id_of, keep
from tests.standins.identity import ManagedIdentity, managed_identity
from tests.standins.keyvault import HOST, Vault


@pytest.fixture
def vault(tmp_path, monkeypatch):
    """A vault at its real name, which leads to this machine here."""
    ca, pem = trustme.CA(), tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(HOST).configure_cert(context)
    made, really = Vault(context), socket.getaddrinfo

    def resolved(host, *more, **named):
        return really("127.0.0.1" if host == HOST else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    yield made
    made.stop()


@pytest.fixture
def identity(monkeypatch):
    """A token is for the service that it was asked for, unless the test sets another `audience`."""
    made = ManagedIdentity(
        lambda resource: {"access_token": f"token-for-{made.audience or resource}", "expires_on": "4102444800"}
    )
    made.audience = None
    with managed_identity(made, monkeypatch):
        yield made


@pytest.fixture
def store_by(sqlite_url):
    """Open the store under a key of the vault."""
    stores = []

    def open_one(address, previous=None):
        secrets = [one and Secret(one, reference=f"keyvault:{one}") for one in (address, previous)]
        stores.append(open_store(sqlite_url, encryption=Encryption(key=secrets[0], previous=secrets[1])))
        return stores[-1]

    yield open_one
    for one in stores:
        one.close()


def refusal(store):
    with pytest.raises(ConfigError) as caught:
        store.keyring.unlock()
    assert "token-for" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("identity")
def test_the_vault_wraps_when_the_store_is_new_and_unwraps_once_a_start(vault, store_by, tmp_path):
    vault.make("leadwire")
    store = store_by(f"{vault.address}/leadwire")
    keep(store, *(arrival(number) for number in range(1, 20)))
    assert vault.operations() == ["wrapkey", "unwrapkey"]
    other = store_by(f"{vault.address}/leadwire")
    assert Views(other).show(id_of(7))["lead"]["email"] == "someone@contoso.com"
    assert vault.operations() == ["wrapkey", "unwrapkey", "unwrapkey"]
    assert not (tmp_path / "leadwire.db.key").exists()


@pytest.mark.usefixtures("identity")
def test_another_version_of_the_key_wraps_from_the_next_renewal_on(vault, store_by):
    first = vault.make("leadwire")
    store = store_by(f"{vault.address}/leadwire")
    keep(store, arrival(1))
    second = vault.make("leadwire")
    store_by(f"{vault.address}/leadwire").keyring.unlock()
    renew(store, now=NOW, who=SOMEONE)
    vault.disabled.add(first)
    assert Views(store_by(second)).show(id_of(1))["lead"]
    assert "sealed under another master key" in refusal(store_by(first))


@pytest.mark.usefixtures("identity")
def test_an_address_is_a_key_s_in_whatever_letters_it_is_written(vault, store_by):
    vault.make("leadwire")
    keep(store_by(f"{vault.address}/leadwire"), arrival(1))
    shouted = f"{vault.address}/leadwire".replace(HOST, HOST.upper())
    assert Views(store_by(shouted)).show(id_of(1))["lead"]


def _forbid(vault, _):
    vault.forbidden = True


def _disable(vault, _):
    vault.disabled.update(f"{vault.address}/leadwire/{version}" for version in vault.keys["leadwire"])


def _forget(vault, _):
    del vault.keys["leadwire"]


def _other_audience(_, identity):
    identity.audience = "https://storage.azure.com"


def _no_identity(_, identity):
    identity.status = 500


@pytest.mark.parametrize(
    ("happens", "told"),
    [
        (_forbid, ["403 Forbidden ForbiddenByRbac", "Key Vault Crypto User"]),
        (_disable, ["403 Forbidden KeyDisabled", "enabled"]),
        (_forget, ["404 KeyNotFound", "portal"]),
        (_other_audience, ["401 Unauthorized", "tenant"]),
        (_no_identity, ["no identity that can sign in"]),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_changed(vault, identity, store_by, happens, told):
    vault.make("leadwire")
    address = f"{vault.address}/leadwire"
    keep(store_by(address), arrival(1))
    kept = dict(vault.keys)
    happens(vault, identity)
    message = refusal(store_by(address))
    assert f"keyvault:{address}" in message
    assert all(words in message for words in told), message
    vault.keys, vault.forbidden, identity.audience, identity.status = kept, False, None, 200
    vault.disabled.clear()
    assert Views(store_by(address)).show(id_of(1))["lead"]


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_vault_that_is_away_is_asked_again_later(vault, store_by, status):
    vault.make("leadwire")
    address = f"{vault.address}/leadwire"
    keep(store_by(address), arrival(1))
    vault.down, store = status, store_by(address)
    with pytest.raises(StoreUnavailable, match=str(status)):
        store.keyring.unlock()
    vault.down = None
    assert Views(store).show(id_of(1))["lead"]


@pytest.mark.usefixtures("identity")
def test_a_vault_whose_certificate_nobody_vouches_for_gets_no_token(vault, store_by, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(StoreUnavailable, match="SSLError"):
        store_by(f"{vault.address}/leadwire").keyring.unlock()
    assert not vault.calls


@pytest.mark.usefixtures("identity")
def test_a_running_process_needs_no_vault(vault, store_by):
    vault.make("leadwire")
    store = store_by(f"{vault.address}/leadwire")
    keep(store, arrival(1))
    vault.down = 503
    store.keyring.look()
    keep(store, arrival(2))
    assert Views(store).show(id_of(2))["lead"]
