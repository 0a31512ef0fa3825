"""What the settings of a Dynamics destination may be; every refusal names the key and never a secret."""

import pytest
from marshmallow import ValidationError

from app.destinations.dynamics.settings import DynamicsSchema
from app.settings import ConfigError
from app.wiring import Wiring
from tests.standins.entra import pem_of, self_signed

APP = {
    "type": "dynamics", "url": "https://contoso.crm4.dynamics.com", "tenant_id": "contoso.example", "client_id": "app",
    "client_secret": "env:SECRET_VALUE",
}  # fmt: skip
USER = APP | {"auth": "user", "client_secret": None, "username": "someone@contoso.com", "password": "env:SECRET_VALUE"}


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("SECRET_VALUE", "the-secret")
    monkeypatch.setenv("TENANT", "tenant-of-this-machine")


def load(settings=APP, **changes):
    return DynamicsSchema().load({key: value for key, value in (settings | changes).items() if value is not None})


def refusal(settings=APP, **changes):
    with pytest.raises(ValidationError) as refused:
        load(settings, **changes)
    assert "the-secret" not in str(refused.value)
    return refused.value.normalized_messages()


def test_defaults_are_those_of_the_contract():
    loaded = load()
    assert (loaded["auth"], loaded["authority"]) == ("app", "https://login.microsoftonline.com")
    assert (loaded["batch_size"], loaded["detect_duplicates"], loaded["ca_bundle"]) == (100, False, None)
    assert loaded["columns"]["leadsourcecode"].constant == 8


@pytest.mark.parametrize(
    "url",
    ["https://contoso.crm4.dynamics.com/", "HTTPS://contoso.crm4.dynamics.com//", " https://contoso.crm4.dynamics.com"],
)
def test_a_slash_behind_the_address_is_no_matter(url):
    assert load(url=url)["url"] == "https://contoso.crm4.dynamics.com"


ADDRESSES = [
    "http://contoso.crm4.dynamics.com", "contoso.crm4.dynamics.com", "https://", "https://user@contoso.example",
    "https://contoso.example?x=1", "https://contoso.example/main.aspx", "https://contoso.example/api/data/v9.2/",
    "https://contoso.example:port", "https://con toso.example", "https://contoso.example/\r\nX: y", "",
]  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES)
@pytest.mark.parametrize("key", ["url", "authority"])
def test_an_address_is_https_and_nothing_behind_it(key, url):
    assert set(refusal(**{key: url})) == {key}


def test_the_refusal_of_a_path_shows_the_address_that_is_meant():
    assert "https://contoso.crm4.dynamics.com" in refusal(url=APP["url"] + "/main.aspx?appid=1")["url"][0]


def test_names_may_be_given_by_reference():
    assert load(tenant_id="env:TENANT")["tenant_id"] == "tenant-of-this-machine"


def test_a_user_signs_in_where_any_tenant_does_unless_it_is_given():
    assert load(USER, tenant_id=None)["tenant_id"] == "organizations"
    assert load(USER)["tenant_id"] == "contoso.example"


WRONG = [
    (APP, {"url": None}, "url", "required"),
    (APP, {"client_id": None}, "client_id", "required"),
    (APP, {"client_id": "an app"}, "client_id", "space"),
    (APP, {"tenant_id": None}, "tenant_id", "needed"),
    (APP, {"tenant_id": "common"}, "tenant_id", "one tenant"),
    (APP, {"tenant_id": "a/b"}, "tenant_id", "one tenant"),
    (APP, {"client_secret": None}, "client_secret", "certificate"),
    (APP, {"client_secret": "literal"}, "client_secret", "never written here"),
    (APP, {"certificate": "env:SECRET_VALUE"}, "certificate", ""),
    (APP, {"username": "someone@contoso.com"}, "username", "no effect"),
    (APP, {"password": "env:SECRET_VALUE"}, "password", "no effect"),
    (APP, {"auth": "secret"}, "auth", "app, user"),
    (USER, {"username": None}, "username", "needed"),
    (USER, {"password": None}, "password", "needed"),
    (USER, {"client_secret": "env:SECRET_VALUE"}, "client_secret", "no effect"),
    (APP, {"batch_size": 0}, "batch_size", "from 1 to 1000"),
    (APP, {"batch_size": 1001}, "batch_size", "from 1 to 1000"),
    (APP, {"batch_size": True}, "batch_size", "from 1 to 1000"),
    (APP, {"detect_duplicates": 1}, "detect_duplicates", "true or false"),
    (APP, {"owner": "someone"}, "owner", "Unknown"),
    (APP, {"fields": ["leadsourcecode"]}, "fields", "a table"),
]


@pytest.mark.parametrize(("settings", "changes", "key", "said"), WRONG)
def test_a_wrong_setting_is_named(settings, changes, key, said):
    messages = refusal(settings, **changes)
    assert set(messages) == {key}
    assert said in str(messages[key])


def test_a_certificate_takes_the_place_of_a_secret(monkeypatch):
    monkeypatch.setenv("CERTIFICATE", pem_of(*self_signed()))
    loaded = load(client_secret=None, certificate="env:CERTIFICATE")
    assert "PRIVATE KEY" in loaded["certificate"].reveal()
    assert "one of the two" in str(refusal(certificate="env:CERTIFICATE")["certificate"])


def test_a_certificate_that_cannot_be_read_is_refused_at_the_start():
    assert "no private key" in str(refusal(client_secret=None, certificate="env:SECRET_VALUE")["certificate"])


# --- fields

COLUMNS = [
    ({"leadid": "x"}, "leadid", "sets itself"),
    ({"LeadId": "x"}, "LeadId", "sets itself"),
    ({"lead source": 8}, "lead source", "logical name"),
    ({"@odata.etag": "x"}, "@odata.etag", "logical name"),
    ({"x-y": 1}, "x-y", "logical name"),
    ({"telephone2": "$fax"}, "telephone2", "$phone"),
    ({"telephone2": "$"}, "telephone2", "$phone"),
    ({"telephone2": "$campaign."}, "telephone2", "$phone"),
    ({"telephone2": "$phone:x"}, "telephone2", "$phone"),
    ({"telephone2": ["1"]}, "telephone2", "a text, a number"),
    ({"telephone2": {"a": 1}}, "telephone2", "a text, a number"),
    ({"revenue": float("nan")}, "revenue", "a text, a number"),
    ({"lastname": ""}, "lastname", "every lead"),
    ({"subject": ""}, "subject", "every lead"),
    ({"campaignid@odata.bind": "campaign 7"}, "campaignid@odata.bind", "/campaigns("),
    ({"campaignid@odata.bind": 7}, "campaignid@odata.bind", "/campaigns("),
]


@pytest.mark.parametrize(("fields", "column", "said"), COLUMNS)
def test_a_wrong_column_is_named_and_the_others_are_not(fields, column, said):
    messages = refusal(fields=fields | {"leadsourcecode": 9})
    assert set(messages["fields"]) == {column}
    assert said in str(messages["fields"][column])


def test_the_configurations_own_words_name_file_key_and_column(tmp_path):
    """As an operator sees it: through the file, not the schema."""
    file = tmp_path / "leadwire.toml"
    file.write_text(
        f"[console]\nenabled = false\n[store]\nurl = 'sqlite:///{tmp_path}/x.db'\n"
        "[sources.marketplace]\nkeys = ['env:SECRET_VALUE']\n"
        "[destinations.crm]\ntype = 'dynamics'\nurl = 'https://contoso.crm4.dynamics.com'\ntenant_id = 't'\n"
        "client_id = 'c'\nclient_secret = 'env:SECRET_VALUE'\nbatch_size = 5000\nfields = { telephone1 = '$fax' }\n"
    )
    with pytest.raises(ConfigError) as refused:
        Wiring.from_file(str(file))
    said = str(refused.value)
    assert "[destinations.crm] batch_size: found 5000; allowed: a whole number from 1 to 1000" in said
    assert "[destinations.crm.fields] telephone1: found '$fax'; allowed: a constant" in said
