"""What the settings of an e-mail destination may be; every refusal names the key."""

import pytest
from marshmallow import ValidationError

from app.destinations.email.settings import EmailSchema

MAIL = {"type": "email", "from": "leads@contoso.example", "to": ["sales@contoso.example"]}
SMTP = MAIL | {"transport": "smtp", "host": "smtp.contoso.example"}
PASSWORD = SMTP | {"username": "leads@contoso.example", "password": "env:MAIL_SECRET"}
APP = {"tenant_id": "contoso.example", "client_id": "app", "client_secret": "env:MAIL_SECRET"}
OAUTH = SMTP | APP | {"auth": "oauth", "username": "leads@contoso.example"}
GRAPH = MAIL | APP | {"transport": "graph"}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("MAIL_SECRET", "a-secret")


def load(settings, **changes):
    return EmailSchema().load({key: value for key, value in (settings | changes).items() if value is not None})


@pytest.mark.parametrize("settings", [SMTP, PASSWORD, OAUTH, GRAPH])
def test_each_way_of_sending_loads_with_only_what_it_needs(settings):
    loaded = load(settings)
    assert (loaded["personal_data"], loaded["ca_bundle"]) == ("link", None)
    assert loaded["authority"] == "https://login.microsoftonline.com"


@pytest.mark.parametrize(("settings", "auth"), [(SMTP, None), (PASSWORD, "password"), (OAUTH, "oauth"), (GRAPH, None)])
def test_auth_follows_from_what_is_given(settings, auth):
    assert load(settings)["auth"] == auth


@pytest.mark.parametrize(("security", "port"), [(None, 587), ("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_the_security(security, port):
    loaded = load(SMTP, security=security, host="localhost")
    assert (loaded["security"], loaded["port"]) == (security or "starttls", port)
    assert load(SMTP, security=security, host="localhost", port=2525)["port"] == 2525


def test_a_recipient_written_twice_gets_one_mail():
    assert load(SMTP, to=["a@contoso.example", "b@contoso.example", "a@contoso.example"])["to"] == [
        "a@contoso.example",
        "b@contoso.example",
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_without_encryption_only_this_machine_is_a_host(host):
    assert load(PASSWORD, security="none", host=host)["host"] == host


REFUSED = [
    (SMTP, {"host": None}, "host", "needed"),
    (SMTP, {"host": "smtp.contoso.example:587"}, "host", "no port"),
    (SMTP, {"host": "smtp.contoso.example\r\nX"}, "host", "no port"),
    (SMTP, {"host": "smtp.contoso.example\n"}, "host", "no port"),
    (SMTP, {"host": ""}, "host", "host name"),
    (SMTP, {"port": 0}, "port", "1"),
    (SMTP, {"port": "587"}, "port", "integer"),
    (SMTP, {"security": "ssl"}, "security", "starttls"),
    (SMTP, {"security": "none"}, "security", "loopback"),
    (SMTP, {"security": "none", "host": "10.0.0.1"}, "security", "loopback"),
    (SMTP, {"security": "none", "host": "localhost", "personal_data": "include"}, "personal_data", "encrypted"),
    (SMTP, {"personal_data": "all"}, "personal_data", "include"),
    (SMTP, {"transport": "pigeon"}, "transport", "graph"),
    (SMTP, {"transport": None}, "transport", "required"),
    (SMTP, {"colour": "red"}, "colour", "Unknown"),
    (SMTP, APP, "client_secret", "no effect"),
    (SMTP, {"graph_url": "https://graph.microsoft.us"}, "graph_url", "no effect"),
    (SMTP, {"auth": "password"}, "username", "needed"),
    (PASSWORD, {"password": None}, "password", "needed"),
    (PASSWORD, {"username": None}, "username", "needed"),
    (PASSWORD, {"password": "plain-text"}, "password", "never written here"),
    (PASSWORD, {"password": "env:NOT_SET_ANYWHERE"}, "password", "not set"),
    (PASSWORD, {"username": "leads\x01auth"}, "username", "control"),
    (OAUTH, {"username": None}, "username", "needed"),
    (OAUTH, {"tenant_id": None}, "tenant_id", "needed"),
    (OAUTH, {"client_id": None}, "client_id", "needed"),
    (OAUTH, {"client_secret": None}, "client_secret", "needed"),
    (OAUTH, {"password": "env:MAIL_SECRET"}, "password", "no effect"),
    (OAUTH, {"authority": "http://login.microsoftonline.com"}, "authority", "https://"),
    (GRAPH, {"tenant_id": None}, "tenant_id", "needed"),
    (GRAPH, {"tenant_id": "common"}, "tenant_id", "one tenant"),
    (GRAPH, {"tenant_id": "contoso/../x"}, "tenant_id", "one tenant"),
    (GRAPH, {"graph_url": "http://graph.microsoft.com"}, "graph_url", "https://"),
    (GRAPH, {"graph_url": "https://graph.microsoft.com\n"}, "graph_url", "https://"),
    (GRAPH, {"host": "smtp.contoso.example"}, "host", "no effect"),
    (GRAPH, {"security": "none"}, "security", "no effect"),
    (SMTP, {"to": []}, "to", ""),
    (SMTP, {"to": None}, "to", "required"),
    (SMTP, {"from": None}, "from", "required"),
]


@pytest.mark.parametrize(("settings", "changes", "key", "told"), REFUSED)
def test_a_setting_that_is_wrong_or_missing_or_idle_is_refused_by_its_key(settings, changes, key, told):
    with pytest.raises(ValidationError) as refused:
        load(settings, **changes)
    assert key in refused.value.messages
    assert told in str(refused.value.messages[key])
    assert "a-secret" not in str(refused.value.messages)


ADDRESSES = [
    "", "leads", "@contoso.example", "leads@", "leads@contoso..example", ".leads@contoso.example",
    "a b@contoso.example", "Leads <leads@contoso.example>", "a@contoso.example,b@contoso.example",
    "a@contoso.example\r\nBcc: b@contoso.example", "a@contoso.example\n", "a@-contoso.example",
    "l\u00ebads@contoso.example", "a@b@contoso.example", '"a b"@contoso.example',
    "a" * 250 + "@contoso.example", "a@contoso.example\u2028",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_one_plain_address_and_nothing_else(address):
    for changes, key in (({"from": address}, "from"), ({"to": ["sales@contoso.example", address]}, "to")):
        with pytest.raises(ValidationError) as refused:
            load(SMTP, **changes)
        assert key in refused.value.messages


@pytest.mark.parametrize("address", ["a.b+c@contoso.example", "leads@localhost", "o'neil_x@mail-1.contoso.example"])
def test_usual_addresses_are_taken(address):
    assert load(SMTP, **{"from": address})["from_address"] == address
