"""What the mails say, and above all what they don't."""

import base64
import re
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields

from app.destinations.base import Parcel
from app.destinations.email.text import SUPPORT, Writer, impersonal, tidy
from app.lead import Lead

AT = datetime(2026, 11, 20, 23, 51, 7, tzinfo=UTC)
# Every field of a person, each with a value found nowhere else.
PERSON = {
    "first_name": "Some-canary",
    "last_name": "One-canary",
    "email": "someone-canary@contoso.com",
    "phone": "16175550199",
    "country": "ZZ-canary",
    "company": "Contoso-canary",
    "title": "Chief-canary",
    "description": "Notes-canary: please call\nSecond-canary line",
    "campaign": {"mktcmpid": "Campaign-canary"},
    "extra": {"Other": "Extra-canary"},
}
OFFER = {"lead_source": "AzureMarketplace", "action_code": "PLT", "offer_title": "Contoso Backup"}
ANY = st.characters() | st.just("\ud800")  # half a surrogate pair too: JSON can carry one
SEPARATORS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"]


OPEN = "https://leads.contoso.example/console/leads/lead-1"


def writer(*, personal=False, console=True):
    return Writer(
        sender="leads@contoso.example",
        recipients=["sales@contoso.example", "team@contoso.example"],
        public_url="https://leads.contoso.example",
        personal=personal,
        console=console,
    )


def parcel(*, test=False, domain=None, **lead):
    return Parcel(
        delivery_id="delivery-1", lead_id="lead-1", received_at=AT, source="marketplace", test=test,
        lead=Lead(**OFFER | lead), withheld_domain=domain,
    )  # fmt: skip


def parsed(letter):
    return message_from_bytes(letter.content, policy=policy.default)


def bodies(letter):
    mail = parsed(letter)
    return [mail.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html")]


def everything(letter):
    """All that a reader of the bytes could find: raw, every header decoded, every part decoded."""
    mail = message_from_bytes(letter.content)
    heads = [str(make_header(decode_header(value))) for _, value in mail.items()]
    parts = [part.get_payload(decode=True).decode() for part in mail.walk() if not part.is_multipart()]
    raw = letter.content.decode("ascii")
    joined = re.sub(r"=\r\n|\r\n[ \t]?", "", raw)
    return "\n".join([raw, joined, *heads, *parts])


def flat(values):
    return [text for value in values for text in (value.values() if isinstance(value, dict) else value.splitlines())]


def both_kinds(parcels, **how):
    return [writer(**how).letter(parcels[0], now=AT), writer(**how).digest(parcels, now=AT)]


# --- privacy


def test_the_canary_knows_every_field_of_a_lead():
    assert {field.name for field in fields(Lead)} == set(PERSON) | set(OFFER) | {"publisher_id", "offer_id"}


@pytest.mark.parametrize("test", [False, True])
def test_with_link_nothing_of_the_person_is_anywhere_in_the_bytes(test):
    for letter in both_kinds([parcel(test=test, **PERSON)]):
        found = everything(letter)
        for value in flat(PERSON.values()):
            assert value not in found
            assert base64.b64encode(value.encode()).decode().rstrip("=")[:-1] not in found
        assert "canary" not in found.lower()


def test_the_canary_would_be_found_if_it_were_there():
    for letter in both_kinds([parcel(**PERSON)], personal=True):
        found = everything(letter)
        assert [value for value in flat(PERSON.values()) if value not in found] == ["Extra-canary"]


def test_with_include_the_person_is_in_both_bodies_but_not_in_a_header():
    for letter in both_kinds([parcel(**PERSON)], personal=True):
        assert all("someone-canary@contoso.com" in body and "Second-canary line" in body for body in bodies(letter))
        assert "canary" not in "".join(str(value) for value in parsed(letter).values()).lower()


@pytest.mark.parametrize("field", ["offer_title", "lead_source", "action_code"])
@pytest.mark.parametrize(
    "value", ["someone@contoso.com", "someone\uff20contoso.com", "someone\ufe6bcontoso.com", "a%40b.com"]
)
def test_an_address_put_where_no_person_belongs_is_not_shown(field, value):
    for letter in both_kinds([parcel(**{field: value})]):
        found = everything(letter)
        assert value not in found
        assert "someone" not in found


@pytest.mark.parametrize("personal", [False, True])
def test_a_notice_names_the_domain_and_what_to_do_and_nobody(personal):
    for letter in both_kinds([parcel(domain="someone-canary@cs.mit.edu", **PERSON)], personal=personal):
        found = everything(letter)
        assert "canary" not in found.lower()
        for body in bodies(letter):
            assert "cs.mit.edu" in body
            assert SUPPORT in body
            assert "Referrals workspace" in body
            assert "not kept" in body


def test_a_notice_says_in_the_subject_that_it_is_one():
    assert parsed(writer().letter(parcel(domain="mit.edu"), now=AT))["Subject"].startswith("Lead withheld: ")


# --- content

WORDS = [
    ("INS", "Get it now or free trial"),
    ("PLT", "Contact me"),
    ("DNC", "information only: do not contact"),
    ("Create", "bought or deployed in the Azure portal"),
    ("StartTestDrive", "test drive started"),
    ("starttestdrive", "test drive started"),
    ("XYZ", "XYZ"),
    (None, "action not given"),
]


@pytest.mark.parametrize(("code", "words"), WORDS)
def test_an_action_is_told_in_words_and_an_unknown_one_as_it_came(code, words):
    letter = writer().letter(parcel(action_code=code), now=AT)
    assert all(f"Action: {words}" in body or f">{words}<" in body for body in bodies(letter))


def test_a_mail_tells_offer_source_time_id_and_where_to_look():
    text, page = bodies(writer().letter(parcel(), now=AT))
    for line in ("Offer: Contoso Backup", "Lead source: AzureMarketplace", "Received: 2026-11-20 23:51:07 UTC"):
        assert line in text
    assert f"Open: {OPEN}\n" in text
    assert f'<a href="{OPEN}">{OPEN}</a>' in page


def test_a_mail_without_a_person_says_where_the_person_is_found():
    assert all("open the address above and sign in" in body for body in bodies(writer().letter(parcel(), now=AT)))


def test_without_a_console_a_mail_names_the_command_and_no_address_of_a_lead():
    text, page = bodies(writer(console=False).letter(parcel(), now=AT))
    assert "Look it up: leadwire show lead-1" in text
    assert "leadwire show lead-1" in page
    assert "look it up where Leadwire runs" in text
    assert "/console" not in text + page


def test_an_offer_without_title_is_named_by_its_ids():
    named = parcel(offer_title=None, publisher_id="contoso", offer_id="backup")
    assert "Offer: contoso.backup" in bodies(writer().letter(named, now=AT))[0]


def test_headers_are_those_of_an_automatic_mail():
    mail = parsed(writer().letter(parcel(test=True), now=AT))
    assert mail["Subject"] == "[test] New lead: Contoso Backup - Contact me"
    assert mail["Message-ID"] == "<delivery-1@contoso.example>"
    assert (mail["From"], mail["To"]) == ("leads@contoso.example", "sales@contoso.example, team@contoso.example")
    assert (mail["Date"].datetime, mail["Auto-Submitted"]) == (AT, "auto-generated")


def test_the_page_shows_markup_as_text():
    hostile = parcel(offer_title="<script>alert(1)</script>", company='"><img src=x>', description="<b>bold</b>")
    page = bodies(writer(personal=True).letter(hostile, now=AT))[1]
    assert not re.search(r"<(script|img|b)\b", page)
    assert "&lt;script&gt;" in page


def test_a_persons_notes_cannot_pass_for_lines_of_ours():
    text = bodies(writer(personal=True).letter(parcel(description="Hello\nOpen: https://fabrikam.example"), now=AT))[0]
    assert re.findall(r"^Open: .*", text, re.MULTILINE) == [f"Open: {OPEN}"]
    assert "\n| Open: https://fabrikam.example" in text


def test_only_seven_bit_lines_of_a_length_any_server_takes():
    letter = writer(personal=True).letter(parcel(offer_title="Zürich 備份" * 40, description="ü" * 5000), now=AT)
    lines = letter.content.split(b"\r\n")
    assert letter.content.isascii()
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)


# --- injection


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("personal", [False, True])
def test_no_value_of_a_sender_makes_a_header(separator, personal):
    text_fields = [name for name in (*PERSON, *OFFER) if name not in {"campaign", "extra"}]
    hostile = dict.fromkeys(text_fields, f"x{separator}Bcc: y.example{separator}{separator}body")
    hostile["campaign"] = {f"a{separator}Bcc: z.example": f"{separator}Bcc: z.example"}
    plain = parsed(writer().letter(parcel(), now=AT)).keys()
    for domain in (None, f"mit.edu{separator}Bcc: z.example"):
        for letter in both_kinds([parcel(domain=domain, **hostile)], personal=personal):
            assert parsed(letter).keys() == plain
            assert not re.search(rb"(?im)^bcc:", letter.content.partition(b"\r\n\r\n")[0])
            assert not re.search(r"[\x00-\x1f\x85\u2028\u2029]", parsed(letter)["Subject"])


@given(title=st.text(ANY, max_size=400), action=st.text(ANY, max_size=100))
def test_any_text_at_all_gives_a_wellformed_mail_whose_subject_reads_back(title, action):
    lead = parcel(offer_title=title or None, action_code=action or None)
    letter = writer().letter(lead, now=AT)
    mail = message_from_bytes(letter.content)
    subject = str(make_header(decode_header(mail["Subject"])))
    assert letter.content.isascii()
    assert len(mail.keys()) == len(set(mail.keys())) == 8
    assert subject.startswith("New lead: ")
    assert len(subject) <= 150
    assert "@" not in subject


@given(st.text(ANY, max_size=500), st.integers(min_value=1, max_value=200))
def test_tidied_text_is_one_line_of_the_length_asked_for(text, limit):
    done = tidy(text, limit=limit)
    assert len(done) <= limit
    assert len(done.splitlines()) <= 1
    assert tidy(done, limit=limit) == done
    assert done.encode("utf-8").decode("utf-8") == done  # a lone half of a surrogate pair would raise


def test_half_a_surrogate_pair_stops_no_mail():
    broken = dict.fromkeys(["offer_title", "company", "description"], "Contoso\ud800")
    assert all("Contoso" in body for body in bodies(writer(personal=True).letter(parcel(**broken), now=AT)))


def test_characters_that_turn_the_text_are_left_out():
    assert tidy("Contoso\u202e pukcaB\u2066!") == "Contoso pukcaB!"


def test_what_is_impersonal_is_left_as_it_is():
    assert impersonal(" Contoso  Backup ") == "Contoso Backup"


# --- digest


def test_a_digest_lists_each_lead_and_says_how_many():
    leads = [parcel(offer_title=f"Offer {number}") for number in range(12)]
    letter = writer().digest(leads, now=AT)
    text, page = bodies(letter)
    assert parsed(letter)["Subject"] == "Digest: 12 new leads"
    assert all(f"Offer: Offer {number}" in text and f">Offer {number}<" in page for number in range(12))


def test_a_digest_of_one_is_in_the_singular():
    assert parsed(writer().digest([parcel()], now=AT))["Subject"] == "Digest: 1 new lead"
