"""Where a lead goes."""

import pytest

from app.lead import Lead
from app.routing import Router
from app.settings import load_settings

TOML = """
[sources.marketplace]
destinations = ["crm", "mail"]
[sources.partner]
keys = ["env:PARTNER_KEY"]
destinations = ["table"]

[[routes]]
when = {{ offer = "Contoso.*", action = ["ins", "PLT"] }}
to = ["crm", "crm"]
[[routes]]
when = {{ offer = ["*backup*", "exact title"] }}
to = ["mail"]
[[routes]]
when = {{ source = "partner", test = true }}
to = ["file", "crm"]

[test_leads]
{tests}

[destinations]
crm = {{ type = "file" }}
mail = {{ type = "file" }}
table = {{ type = "file" }}
file = {{ type = "file" }}
"""


@pytest.fixture
def router(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PARTNER_KEY", "partner-key")
    (tmp_path / "var").mkdir()
    (tmp_path / "var/marketplace.key").write_text("key")
    (tmp_path / "var/console.password").write_text("password")

    def make(tests=""):
        path = tmp_path / "leadwire.toml"
        path.write_text(TOML.format(tests=tests))
        return Router(load_settings(path))

    return make


@pytest.mark.parametrize(
    ("lead", "source", "names"),
    [
        ({}, "marketplace", ("crm", "mail")),
        ({}, "partner", ("table",)),
        ({"publisher_id": "contoso", "offer_id": "x", "action_code": "INS"}, "marketplace", ("crm",)),
        ({"publisher_id": "CONTOSO", "offer_id": "X", "action_code": "plt"}, "partner", ("crm",)),
        ({"publisher_id": "contoso", "offer_id": "x", "action_code": "DNC"}, "marketplace", ("crm", "mail")),
        ({"publisher_id": "contoso", "offer_id": "x"}, "marketplace", ("crm", "mail")),
        ({"publisher_id": "contosox", "offer_id": "x", "action_code": "INS"}, "marketplace", ("crm", "mail")),
        ({"publisher_id": "contoso", "offer_id": "backup", "action_code": "INS"}, "marketplace", ("crm",)),
        ({"publisher_id": "fabrikam", "offer_id": "x", "offer_title": "My BackUp Pro"}, "marketplace", ("mail",)),
        ({"offer_title": "Exact Title"}, "partner", ("mail",)),
        ({"offer_id": "backup"}, "marketplace", ("mail",)),
        ({"first_name": "MSFT_TEST_1"}, "partner", ("file", "crm")),
        ({"first_name": "MSFT_TEST_1"}, "marketplace", ("crm", "mail")),
    ],
)
def test_the_first_route_that_matches_decides_and_else_the_source(router, lead, source, names):
    assert router().destinations(Lead(**lead), source=source) == names


def test_test_leads_can_be_kept_from_every_destination(router):
    kept = router("deliver = false")
    assert kept.destinations(Lead(company="MSFT_TEST"), source="marketplace") == ()
    assert kept.destinations(Lead(company="Contoso"), source="marketplace") == ("crm", "mail")


def test_test_leads_can_be_narrowed_to_some_of_where_they_would_go(router):
    narrowed = router('destinations = ["mail", "table"]')
    assert narrowed.destinations(Lead(company="MSFT_TEST"), source="marketplace") == ("mail",)
    assert narrowed.destinations(Lead(company="MSFT_TEST"), source="partner") == ()
    assert narrowed.destinations(Lead(company="Contoso"), source="marketplace") == ("crm", "mail")


def test_a_source_that_is_no_longer_configured_is_routed_by_the_routes_only(router):
    """Bodies in quarantine outlive the source that sent them."""
    assert router().destinations(Lead(offer_title="backup"), source="gone") == ("mail",)
    with pytest.raises(KeyError):
        router().destinations(Lead(), source="gone")
