"""The settings of an Azure Table destination, and leads as rows."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from app.destinations.azure_table import AzureTable
from app.destinations.azure_table.rows import CLIPPED, MAX_UNITS, clip, entity_of, json_within, transactions
from app.lead import Lead
from tests.parts.azurite import KEY, NOON, connection_string, parcel

ACCOUNT = "https://contosoleads.table.core.windows.net"
PLAIN = f"DefaultEndpointsProtocol=https;AccountName=contosoleads;AccountKey={KEY};EndpointSuffix=core.windows.net"


def units(text):
    return len(text.encode("utf-16-le")) // 2


def load(monkeypatch, text=None, **settings):
    if text is not None:
        monkeypatch.setenv("LEADWIRE_TEST_TABLES", text)
        settings["connection_string"] = "env:LEADWIRE_TEST_TABLES"
    return AzureTable.schema().load({"type": "azure_table", **settings})


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN + ";",
        f"AccountName=contosoleads;AccountKey={KEY}",
        PLAIN.replace("core.windows.net", "core.usgovcloudapi.net"),
        "UseDevelopmentStorage=true",
        "UseDevelopmentStorage=true;",
        connection_string("http://127.0.0.1:10002/devstoreaccount1"),
        connection_string("http://[::1]:10002/devstoreaccount1"),
        connection_string("http://localhost:10002/devstoreaccount1"),
        connection_string(ACCOUNT),
    ],
)
def test_a_connection_string_as_the_portal_gives_it_is_taken(monkeypatch, text):
    settings = load(monkeypatch, text)
    assert settings["table"] == "MarketplaceLeads"
    destination = AzureTable("table", settings, tools=None)
    assert destination._connected().table_name == "MarketplaceLeads"
    destination.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"AccountKey={KEY}", "has no AccountName"),
        ("AccountName=contosoleads", "has no AccountKey"),
        ("EndpointSuffix=core.windows.net", "has no AccountName and no AccountKey"),
        ("contosoleads", "is not a list"),
        (PLAIN + ";AccountName=contosoleads", "is not a list"),
        ("AccountName=contosoleads;AccountKey=", "is not a list"),
        (PLAIN.replace(KEY, KEY[:-3]), "is not base64"),
        (PLAIN.replace(KEY, "clé=="), "is not base64"),
        (PLAIN.replace("contosoleads", "contoso.leads"), "3 to 24 small letters"),
        (PLAIN.replace("https", "http"), "not https"),
        (connection_string("http://contosoleads.table.core.windows.net"), "loopback address only"),
        (connection_string("http://127.0.0.1.contoso.com/devstoreaccount1"), "without a table"),
        (connection_string("http://localhost.contoso.com"), "loopback address only"),
        (connection_string(ACCOUNT + "?sv=2020"), "without anything behind it"),
        (connection_string("https://[::1"), "is not an address"),
        (connection_string("ftp://127.0.0.1"), "is not an address"),
        ("UseDevelopmentStorage=false", "has no AccountName"),
    ],
)
def test_a_wrong_connection_string_is_refused_without_being_repeated(monkeypatch, text, message):
    with pytest.raises(ValidationError) as caught:
        load(monkeypatch, text)
    assert list(caught.value.messages) == ["connection_string"]
    assert message in str(caught.value)
    assert KEY[:8] not in str(caught.value)
    assert "contosoleads." not in str(caught.value).replace(ACCOUNT, "")


@pytest.mark.parametrize(
    ("settings", "where", "message"),
    [
        ({}, "connection_string", "either connection_string, or account_url"),
        ({"text": PLAIN, "account_url": ACCOUNT, "credential": "default"}, "connection_string", "either"),
        ({"text": PLAIN, "credential": "default"}, "account_url", "belong together"),
        ({"account_url": ACCOUNT}, "credential", "belong together"),
        ({"account_url": ACCOUNT, "credential": "key"}, "credential", "default"),
        ({"account_url": ACCOUNT + "/MarketplaceLeads", "credential": "default"}, "account_url", "without a table"),
        ({"account_url": ACCOUNT + "?sv=1", "credential": "default"}, "account_url", "without anything"),
        ({"account_url": "http://127.0.0.1:1/a", "credential": "default"}, "account_url", "is not an address"),
        ({"account_url": "contosoleads", "credential": "default"}, "account_url", "is not an address"),
        ({"text": PLAIN, "table": "tables"}, "table", "a table name is"),
        ({"text": PLAIN, "table": "Tables"}, "table", "a table name is"),
        ({"text": PLAIN, "table": "my-leads"}, "table", "a table name is"),
        ({"text": PLAIN, "table": "Leads\n"}, "table", "a table name is"),
        ({"text": PLAIN, "table": "1eads"}, "table", "a table name is"),
        ({"text": PLAIN, "table": "ab"}, "table", "a table name is"),
        ({"text": PLAIN, "table": "a" * 64}, "table", "a table name is"),
        ({"connection_string": PLAIN}, "connection_string", "never written here"),
        ({"text": PLAIN, "retries": 3}, "retries", "Unknown"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(monkeypatch, settings, where, message):
    with pytest.raises(ValidationError) as caught:
        load(monkeypatch, **settings)
    assert list(caught.value.messages) == [where]
    assert message in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_row_has_the_columns_of_microsofts_writer_and_ours():
    """CustomerInfo is one JSON string; the partition is the day, with slashes as the writer escapes them."""
    lead = {"publisher_id": "contoso", "offer_id": "widgets", "campaign": {"mktcmpid": "1"}, "extra": {"a": [None]}}
    row = entity_of(parcel(7, **lead))
    assert json.loads(row.pop("CustomerInfo")) == {
        "FirstName": "Some",
        "LastName": "One",
        "Email": "someone@contoso.com",
        "Phone": "16175555555",
        "Country": "US",
        "Company": "Contoso",
        "Title": "Esquire",
    }
    assert row == {
        "PartitionKey": "9:2F28:2F2018",
        "RowKey": "lead-007",
        "ActionCode": "INS",
        "CreatedTime": "2018-09-28T12:00:00.000Z",
        "Description": "Test run",
        "LeadSource": "AzureMarketplace",
        "OfferDisplayName": "Test Microsoft",
        "PublisherId": "contoso",
        "OfferId": "widgets",
        "Campaign": '{"mktcmpid":"1"}',
        "Extra": '{"a":[null]}',
        "LeadId": "lead-007",
        "Source": "marketplace",
        "IsTest": False,
    }


def test_a_lead_with_nothing_in_it_still_has_microsofts_columns_as_text():
    row = entity_of(replace(parcel(), lead=Lead(), test=True))
    theirs = ("ActionCode", "Description", "LeadSource", "OfferDisplayName")
    assert [row[name] for name in theirs] == ["", "", "", ""]
    assert set(json.loads(row["CustomerInfo"]).values()) == {""}
    assert not {"PublisherId", "OfferId", "Campaign", "Extra"} & set(row)
    assert row["IsTest"] is True


def test_the_partition_is_the_utc_day_whatever_the_clock_showed():
    late = datetime(2018, 9, 28, 23, 30, tzinfo=timezone(-timedelta(hours=2)))
    assert entity_of(parcel(at=late))["PartitionKey"] == "9:2F29:2F2018"
    assert entity_of(parcel(at=late))["CreatedTime"] == "2018-09-29T01:30:00.000Z"


def test_a_key_holds_nothing_that_the_service_forbids():
    assert entity_of(replace(parcel(), lead_id="a/b\\c#d?e%f\n\x85"))["RowKey"] == "a:2Fb:5Cc:23d:3Fe:25f:0A:85"


def test_the_row_is_the_same_for_another_delivery_of_the_same_lead():
    assert entity_of(replace(parcel(), delivery_id="another", redelivery=True)) == entity_of(parcel())


def test_text_too_long_for_a_column_ends_in_a_mark():
    row = entity_of(parcel(description="x" * 40_000))
    assert row["Description"] == "x" * (MAX_UNITS - len(CLIPPED)) + CLIPPED
    assert entity_of(parcel(description="x" * MAX_UNITS))["Description"] == "x" * MAX_UNITS


def test_half_of_a_surrogate_pair_is_never_left():
    clipped = clip("\N{GRINNING FACE}" * 20, 31)
    assert clipped == "\N{GRINNING FACE}" * 10 + CLIPPED


def test_control_characters_are_replaced_and_line_breaks_kept():
    assert entity_of(parcel(description="a\x00b\x1bc\uffffd\te\r\nf"))["Description"] == "a�b�c�d\te\r\nf"


def test_a_customer_with_one_huge_name_keeps_the_other_fields_whole():
    customer = json.loads(entity_of(parcel(last_name='"' * 40_000))["CustomerInfo"])
    assert customer["LastName"].endswith(CLIPPED)
    assert customer["Email"] == "someone@contoso.com"


def test_thousands_of_short_extra_fields_become_one_clipped_text():
    extra = json.loads(entity_of(parcel(extra={f"k{n}": "" for n in range(9_000)}))["Extra"])
    assert list(extra) == ["clipped"]
    assert extra["clipped"].startswith('{"k0":"",')


texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])), st.text('"\\\n\x00\N{GRINNING FACE}', max_size=200)
)


@given(values=st.dictionaries(texts, st.one_of(texts, st.lists(texts), st.none())), limit=st.integers(60, 300))
def test_clipped_json_is_json_and_fits(values, limit):
    """Whatever the values: valid JSON, within the limit, and untouched where it fits."""
    text = json_within(values, limit)
    assert units(text) <= limit
    whole = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    assert json.loads(text) == values if units(whole) <= limit else isinstance(json.loads(text), dict)


@given(text=texts, limit=st.integers(len(CLIPPED), 40))
def test_clipped_text_fits_and_begins_like_the_whole(text, limit):
    clipped = clip(text, limit)
    assert units(clipped) <= limit
    assert clipped == text or text.startswith(clipped.removesuffix(CLIPPED))


def test_leads_are_sorted_into_days_of_at_most_a_hundred():
    """Each transaction holds one day, and every parcel is in exactly one."""
    batch = [parcel(number, at=NOON + timedelta(days=number % 2)) for number in range(250)]
    groups = transactions(batch)
    assert sorted(len(rows) for rows in groups) == [25, 25, 100, 100]
    assert all(len({row.entity["PartitionKey"] for row in rows}) == 1 for rows in groups)
    assert sorted(row.place for rows in groups for row in rows) == list(range(250))


def test_large_leads_are_sorted_into_calls_below_the_services_limit():
    groups = transactions([parcel(number, description="\u4e2d" * 32_000) for number in range(100)])
    assert all(sum(row.size for row in rows) < 4 * 1024 * 1024 for rows in groups)
    assert sum(len(rows) for rows in groups) == 100


def test_a_lead_that_comes_twice_in_a_batch_never_stands_twice_in_a_call():
    assert [len(rows) for rows in transactions([parcel(1), parcel(1), parcel(2)])] == [1, 2]


def test_the_day_is_read_in_utc_at_the_edge():
    last = datetime(2018, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert entity_of(parcel(at=last))["PartitionKey"] == "12:2F31:2F2018"
