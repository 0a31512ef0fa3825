"""What a body becomes: the shapes of facts 1.2 to 1.4, in one normal form."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.decoding import Rejection
from app.lead import Envelope, Lead, country_code, parse

PERSON = {
    "FirstName": "Some",
    "LastName": "One",
    "Email": "someone@contoso.com",
    "Phone": "16175555555",
    "Country": "USA",
    "Company": "Contoso",
    "Title": "Esquire",
}
OFFER = {"LeadSource": "AzureMarketplace", "ActionCode": "INS", "OfferTitle": "Test Microsoft"}
DOCUMENTED = {"UserDetails": PERSON, **OFFER, "Description": "Test run through Power Automate"}
NORMAL = Lead(
    first_name="Some",
    last_name="One",
    email="someone@contoso.com",
    phone="16175555555",
    country="US",
    company="Contoso",
    title="Esquire",
    lead_source="AzureMarketplace",
    action_code="INS",
    offer_title="Test Microsoft",
    description="Test run through Power Automate",
)
FORM = (
    b"company=Contoso&country=USA&description=Test+run+through+Power+Automate&email=someone%40contoso.com&encoding=UTF-8"
    b"&encoding=UTF-8&first_name=Some&last_name=One&lead_source=AzureMarketplace-INS%7CTest+Microsoft"
    b"&oid=00D000000000001&phone=16175555555&title=Esquire"
)


def read(document, content_type="application/json"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse(Envelope(body=body, content_type=content_type))


def lead_of(document, content_type="application/json") -> Lead:
    found = read(document, content_type)
    assert isinstance(found, Lead), (found.title, found.detail, found.errors)
    return found


def rejection_of(document, content_type="application/json") -> Rejection:
    found = read(document, content_type)
    assert isinstance(found, Rejection)
    return found


def camel(document):
    return {
        key[0].lower() + key[1:]: camel(value) if isinstance(value, dict) else value for key, value in document.items()
    }


def cased(document, how):
    return {how(key): cased(value, how) if isinstance(value, dict) else value for key, value in document.items()}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(DOCUMENTED, id="V1 as documented"),
        pytest.param({"userDetails": PERSON, **OFFER, "Description": NORMAL.description}, id="V2 mixed"),
        pytest.param(camel(DOCUMENTED), id="V3 camelCase"),
        pytest.param(cased(DOCUMENTED, str.upper), id="upper case"),
        pytest.param(cased(DOCUMENTED, str.lower), id="lower case"),
        pytest.param(cased(DOCUMENTED, str.swapcase), id="swapped case"),
        pytest.param({**PERSON, **OFFER, "Description": NORMAL.description}, id="flat"),
        pytest.param({**DOCUMENTED, "UserDetails": json.dumps(PERSON)}, id="UserDetails as JSON text"),
        pytest.param({**DOCUMENTED, "userDetails": None}, id="a second, null UserDetails"),
        pytest.param({**DOCUMENTED, "UserDetails": {**PERSON, "Phone": 16175555555}}, id="a number for a phone"),
        pytest.param({**DOCUMENTED, "UserDetails": {**PERSON, "Phone": 1.6175555555e10}}, id="a float for a phone"),
        pytest.param({**DOCUMENTED, "phone": "", "email": " "}, id="empty ones beside them"),
        pytest.param({"Email": " ", **DOCUMENTED}, id="a blank one before it"),
    ],
)
def test_every_json_shape_gives_the_same_lead(document):
    assert lead_of(document) == NORMAL


def test_a_web_to_lead_form_gives_the_same_lead_and_keeps_its_other_fields():
    found = lead_of(FORM, "application/x-www-form-urlencoded")
    assert found.extra == {"encoding": "UTF-8", "oid": "00D000000000001"}
    assert Lead.from_dict({**found.as_dict(), "extra": {}}) == NORMAL


def test_shapes_with_fewer_fields_leave_the_others_absent():
    flow = lead_of({"OfferTitle": "Test Microsoft", "LeadSource": "Test run through MS Flow", "UserDetails": PERSON})
    assert (flow.action_code, flow.description, flow.lead_source) == (None, None, "Test run through MS Flow")
    office = lead_of({"UserDetails": {"FirstName": "Some", "LastName": "One", "Email": "someone@contoso.com"}})
    assert office == Lead(first_name="Some", last_name="One", email="someone@contoso.com")


@given(st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_letter_case_of_keys_never_matters(random):
    def mixed(key):
        return "".join(random.choice((one.lower(), one.upper())) for one in key)

    assert lead_of(cased(DOCUMENTED, mixed)) == NORMAL


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", ""])
def test_unicode_in_any_encoding_is_read(codec, content_type):
    body = json.dumps({"UserDetails": {"FirstName": "Zoë", "Company": "株式会社"}}, ensure_ascii=False).encode(codec)
    assert lead_of(body, content_type) == Lead(first_name="Zoë", company="株式会社")


def test_values_are_cleaned_of_what_no_system_downstream_can_hold():
    found = lead_of(b'{"FirstName": " So\\u0000me\\r\\nBcc: x\\t ", "Description": "a\\r\\nb\\rc\\u0007"}')
    assert (found.first_name, found.description) == ("So\ufffdme Bcc: x", "a\nb\nc")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("AzureMarketplace", ("AzureMarketplace", None, None, None, None)),
        ("AzureMarketplace-INS|contoso.backup", ("AzureMarketplace", "INS", "contoso", "backup", None)),
        ("AppSource (SPZA)-PLT|contoso.backup-pro", ("AppSource (SPZA)", "PLT", "contoso", "backup-pro", None)),
        (
            "SPZA-DNC|docusign.3701c77e-1cfa-4c56-91e6-3ed0b622145a",
            ("SPZA", "DNC", "docusign", "3701c77e-1cfa-4c56-91e6-3ed0b622145a", None),
        ),
        ("AzurePortal-Create|checkpoint.a.b", ("AzurePortal", "Create", "checkpoint", "a.b", None)),
        ("AzureMarketplace-XYZ|contoso.x", ("AzureMarketplace", "XYZ", "contoso", "x", None)),
        ("AzurePortal-Create|RedHat.rhel-byos", ("AzurePortal", "Create", "RedHat", "rhel-byos", None)),
        ("AzureMarketplace|contoso.x", ("AzureMarketplace", None, "contoso", "x", None)),
        ("AzureMarketplace-INS", ("AzureMarketplace", "INS", None, None, None)),
        ("Contoso-Web", ("Contoso-Web", None, None, None, None)),
        ("MSFT_TEST_1-MSFT_TEST_1|Contoso Backup", ("MSFT_TEST_1", "MSFT_TEST_1", None, None, "Contoso Backup")),
        ("SPZA-INS|Backup | Pro v1.2", ("SPZA", "INS", None, None, "Backup | Pro v1.2")),
        (" SPZA - INS | contoso.x ", ("SPZA", "INS", "contoso", "x", None)),
        ("|", (None, None, None, None, None)),
    ],
)
def test_a_lead_source_is_taken_apart(source, expected):
    found = lead_of({**PERSON, "LeadSource": source})
    assert (found.lead_source, found.action_code, found.publisher_id, found.offer_id, found.offer_title) == expected
    assert found.extra == {}


@pytest.mark.parametrize("source", ["SPZA-PLT|contoso.x", "SPZA-INS|Another title", "SPZA-INS|contoso.x|plan"])
def test_what_a_lead_source_says_beyond_the_other_fields_is_kept(source):
    found = lead_of({**PERSON, **OFFER, "LeadSource": source})
    assert found.extra == {"LeadSource": source}
    assert (found.action_code, found.offer_title) == ("INS", "Test Microsoft")


@pytest.mark.parametrize(
    ("description", "text", "campaign"),
    [
        (" ", None, {}),
        ("Campaigns: ", None, {}),
        ("campaigns:", None, {}),
        ('{"mktcmpid":"1234"}', '{"mktcmpid":"1234"}', {"mktcmpid": "1234"}),
        ('Campaigns: {"a": 1}', 'Campaigns: {"a": 1}', {"a": 1}),
        ('{"a": "b"} We need it by May.', '{"a": "b"} We need it by May.', {"a": "b"}),
        ({"a": "é"}, '{"a": "é"}', {"a": "é"}),
        (["x"], '["x"]', {}),
        (12, "12", {}),
        ("We need {it}", "We need {it}", {}),
        ("{broken", "{broken", {}),
        ('["a"]', '["a"]', {}),
        ('{"a": NaN, "b": 1e999, "c": "\\u0000\\ud800"}',) * 2 + ({"a": "NaN", "b": "1e999", "c": "\ufffd\ufffd"},),
        ('{"a":' + "1" * 5000 + "}", '{"a":' + "1" * 5000 + "}", {"a": "1" * 5000}),
        ('{"a":' * 30000, '{"a":' * 30000, {}),
    ],
    ids=itertools.count(),
)
def test_the_kinds_of_descriptions(description, text, campaign):
    found = lead_of({**PERSON, "Description": description})
    assert (found.description, found.campaign) == (text, campaign)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *[
            (name, "US")
            for name in ("US", "us", "USA", "U.S.", "u.s.a.", "U. S.", "United States", "The United States")
        ],
        *[("United States of America", "US"), ("UNITED STATES", "US"), ("ＵＳＡ", "US")],  # noqa: RUF001  (full-width on purpose)
        *[(name, "GB") for name in ("UK", "U.K.", "gb", "Great Britain", "United Kingdom", "England")],
        *[("Türkiye", "TR"), ("Turkey", "TR"), ("Turkiye", "TR"), ("Viet Nam", "VN"), ("Vietnam", "VN")],
        *[("Cote d\u2019Ivoire", "CI"), ("Ivory Coast", "CI"), ("Republic of Korea", "KR"), ("South Korea", "KR")],
        *[
            ("Democratic Republic of the Congo", "CD"),
            ("Russia", "RU"),
            ("Netherlands", "NL"),
            ("The Netherlands", "NL"),
        ],
        *[("Trinidad & Tobago", "TT"), ("Bosnia and Herzegovina", "BA"), ("Curacao", "CW"), ("Iran", "IR")],
        *[("Georgia", "GE"), ("DEU", "DE"), ("Germany", "DE"), ("Bolivia", "BO"), ("British Virgin Islands", "VG")],
        *[("Congo (DRC)", "CD"), ("St. Lucia", "LC"), ("Philippines (the)", "PH"), ("Gambia, The", "GM")],
        *[(unknown, unknown) for unknown in ("Atlantis", "ZZ", "Unknown", "...", "EU", "\u0301")],
        (None, None),
    ],
)
def test_countries_become_two_letters_where_they_can_be_told(text, code):
    assert country_code(text) == code


@pytest.mark.parametrize(
    ("fields", "test"),
    [
        ({"FirstName": "MSFT_TEST_123456789012345678"}, True),
        ({"LastName": "msft_test_1"}, True),
        ({"Company": "MSFT_TEST"}, True),
        ({"Email": "MSFT_TEST_1@test.com"}, True),
        ({"FirstName": "Some", "Description": "MSFT_TEST"}, False),
        ({"FirstName": "Some", "Title": "MSFT_TEST_1"}, False),
        ({"FirstName": "Some", "OfferTitle": "MSFT_TEST_1", "Country": "MSFT_TEST"}, False),
        ({"FirstName": "Some MSFT_TEST"}, False),
        ({"Email": "x@MSFT_TEST.com"}, False),
        ({"FirstName": "MSFT TEST"}, False),
    ],
)
def test_only_a_mark_at_the_beginning_of_who_it_is_makes_a_test_lead(fields, test):
    assert lead_of(fields).is_test is test


def test_fields_beyond_the_known_are_kept_as_they_came():
    extra = {"PlanId": "gold", "n": [1, {"deep": None}], "empty": "", "UserDetails.x": 1}
    assert lead_of({**DOCUMENTED, **extra}).extra == extra
    assert lead_of({"UserDetails": {**PERSON, "Fax": "1"}, "Fax": "2"}).extra == {"Fax": "1", "Fax#2": "2"}


def test_no_second_value_is_lost_whatever_it_collides_with():
    body = (
        b'{"UserDetails": {"FirstName": "a", "firstname": "b"}, "userdetails": {"FIRSTNAME": "c", "x": 1},'
        b' "x": 2, "x": 3, "x#2": 4, "First-Name": "d", "\\ud800": 5, "\\udfff": 6, "Phone": 7, "Phone": null}'
    )
    found = lead_of(body)
    assert (found.first_name, found.phone) == ("a", "7")
    assert sorted(map(str, found.extra.values())) == ["1", "2", "3", "4", "5", "6", "b", "c", "d"]


@pytest.mark.parametrize("later", ["{}", "null", '""', "[]", '{"LastName": "One"}'])
def test_an_equal_key_that_says_nothing_replaces_nothing(later):
    found = lead_of(
        b'{"UserDetails": {"FirstName": "Some"}, "UserDetails": %s, "Email": "a@b.example"}' % later.encode()
    )
    kept = found.extra.get("UserDetails#2", {"FirstName": found.first_name})
    assert kept == {"FirstName": "Some"}


def test_a_thousand_unknown_fields_are_kept():
    extra = {f"field{number}": number for number in range(1000)}
    assert lead_of({**PERSON, **extra}).extra == extra


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"UserDetails": {**PERSON, "Email": {"a": 1}}}, "UserDetails.Email"),
        ({"userDetails": {"firstName": ["x"]}}, "userDetails.firstName"),
        ({"Company": [1]}, "Company"),
        ({"UserDetails" + "-" * 99: {"FirstName": ["x"]}}, "UserDetails.FirstName"),
        ({"Email ＠": [1]}, "email"),  # noqa: RUF001  (full-width on purpose)
    ],
)
def test_a_known_field_that_is_no_text_is_named(document, path):
    rejection = rejection_of(document)
    assert (rejection.status, [one["path"] for one in rejection.errors]) == (422, [path])


@pytest.mark.parametrize(
    "document",
    [
        *({}, [], 5, None, True, "text", [DOCUMENTED], {"UserDetails": None}, {"UserDetails": {}}, {"UserDetails": []}),
        {"UserDetails": "text", "Country": "US", "Company": "Contoso", **OFFER},
        {"UserDetails": {"FirstName": " ", "Email": "\t", "Phone": None}},
    ],
    ids=str,
)
def test_what_identifies_nobody_is_422(document):
    assert rejection_of(document).status == 422


@pytest.mark.parametrize(
    ("document", "path", "found"),
    [
        ([DOCUMENTED], "$", "a list"),
        (5, "$", "a single value"),
        (json.dumps(DOCUMENTED), "$", "text that is no JSON object"),
        ({"UserDetails": [PERSON], **OFFER}, "UserDetails", "a list"),
        ({"userDetails": '{"FirstName": "Some"', **OFFER}, "UserDetails", "text that is no JSON object"),
        ({"UserDetails": True, **OFFER}, "UserDetails", "a single value"),
    ],
    ids=str,
)
def test_what_stands_in_an_objects_place_is_named(document, path, found):
    assert rejection_of(document).errors == [{"path": path, "message": f"expected an object, found {found}"}]


def test_a_lead_survives_being_stored():
    found = lead_of({**DOCUMENTED, "x": {"y": [1.5, None]}, "Description": '{"mktcmpid": "1"}'})
    assert Lead.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert Lead.from_dict({**found.as_dict(), "a field of another version": 1}) == found


CANARY = "kanarienvogel"


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"FirstName": "kanarienvogel"', b'{"kanarienvogel": 1 2}', b'"kanarienvogel"', b'{"a": "\\kanarienvogel"}'),
        *(b'{"a": "kanarienvogel\x00"}', b'{"kanarienvogel": "\xff"}', b"{kanarienvogel: 1}", b'{"a": kanarienvogel}'),
        *(b'{"Email": ["kanarienvogel"]}', b'{"kanarienvogel": "x"}', b"kanarienvogel", b'["kanarienvogel"]'),
        *(
            b'{"a": 1} kanarienvogel',
            b'{"FirstName kanarienvogel": {}}',
            b"kanarienvogel=%ff",
            b'{"a":"\\u00kanarienvogel',
        ),
    ],
)
@pytest.mark.parametrize(
    "content_type",
    [
        *("application/json", "", "application/x-www-form-urlencoded", "text/kanarienvogel"),
        *("multipart/form-data; boundary=kanarienvogel", "application/json; charset=kanarienvogel"),
    ],
)
def test_a_rejection_never_repeats_what_was_sent(body, content_type):
    rejection = rejection_of(body, content_type)
    said = json.dumps([rejection.title, rejection.detail, rejection.errors, str(rejection), repr(rejection)])
    assert CANARY not in said.lower()


def assert_sound(found):
    """A Lead that every store, encoder and system can hold, or a Rejection that HTTP can carry."""
    if isinstance(found, Rejection):
        assert found.status in (400, 415, 422)
        json.dumps(found.errors)
        return
    written = json.dumps(found.as_dict(), ensure_ascii=False, allow_nan=False)
    written.encode("utf-8")
    assert "\\u0000" not in written
    assert Lead.from_dict(json.loads(written)) == found


TYPES = st.sampled_from(
    ["application/json", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ";"]
) | st.text(max_size=40)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["UserDetails", "userDetails", *PERSON, *OFFER, "Description", "first_name"]) | st.text(
    max_size=6
)


@given(st.binary(max_size=300), TYPES)
@settings(deadline=None, max_examples=300)
def test_any_bytes_become_a_lead_or_a_rejection(body, content_type):
    assert_sound(parse(Envelope(body=body, content_type=content_type)))


@given(st.dictionaries(KEYS, JSON_VALUES | st.dictionaries(KEYS, JSON_VALUES, max_size=5), max_size=8))
@settings(deadline=None, max_examples=200)
def test_any_json_object_becomes_a_lead_or_a_rejection(document):
    assert_sound(read(document))


@given(
    st.lists(st.binary(max_size=60), max_size=5), st.sampled_from([b"name=first_name", b"name*=utf-8''x", b"", b"\xff"])
)
@settings(deadline=None, max_examples=100)
def test_any_multipart_body_becomes_a_lead_or_a_rejection(values, name):
    parts = [b"--b\r\nContent-Disposition: form-data; " + name + b"\r\n\r\n" + value + b"\r\n" for value in values]
    assert_sound(read(b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"))


def test_a_long_number_keeps_every_digit():
    number = 49_301_234_567_890_123_456
    assert lead_of({**DOCUMENTED, "UserDetails": {**PERSON, "Phone": number}}).phone == str(number)
