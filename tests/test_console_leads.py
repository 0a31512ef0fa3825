"""The console's leads: found, looked at, shown, exported, acted on; and that hostile text is harmless."""

import csv
import io

import pytest
from msgspec.structs import replace

from app.lead import Lead
from app.store.acts import Who
from app.store.tables import audit
from app.web.console.leads import PORTION
from tests.parts import desk as console
from tests.parts.arrivals import (
    DAY,
    NOW,
    arrival,
    dead,
    failed,
    held,
    id_of,
    keep,
    lead_of,
    result,
    rows,
    settle,
    unreadable,
)

numbers, desk, queries = console.numbers, console.desk, console.queries  # fixtures are found by their names

SOMEONE = Lead(
    first_name="Some",
    last_name="One",
    email="someone@contoso.com",
    phone="16175550199",
    company="Contoso",
    lead_source="AzureMarketplace",
    action_code="INS",
    publisher_id="contoso",
    offer_id="widget",
    campaign={"mktcmpid": "spring"},
)
OTHER = Lead(first_name="Any", last_name="Body", email="anybody@contoso.com", offer_title="Contoso Gadget")
WORD = "w" * 10_000
HOSTILE = Lead(
    first_name="<script>alert(1)</script>",
    last_name="\u202egnihton\u2066",
    company=WORD,
    title="=HYPERLINK(1)",
    email="someone@contoso.com",
    description="two\nlines",
    offer_title='"><img src=x onerror=alert(1)>',
)


def one_page(number=1):
    return f"/console/leads/{id_of(number)}"


# The list


def test_leads_are_listed_newest_first_with_the_state_at_each_destination(desk):
    keep(desk.store, arrival(1, at=NOW - 5, to=["table", "crm"]), arrival(2, test=True))
    settle(desk.store, dead, destination="crm")
    page = desk.operator().get("/console/leads")
    assert numbers(page) == [2, 1]
    assert page.read("//tbody/tr")[1].endswith("crm: dead table: due")
    assert "test" in page.read("//tbody/tr")[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("state=dead", [4]),
        ("status=duplicate", [2]),
        ("state=quarantined", [5]),
        ("test=yes", [3]),
        ("test=no", [5, 4, 2, 1]),
        ("source=elsewhere", [2]),
        ("offer=contoso.widget", [1]),
        ("offer=contoso*", [4, 1]),
        ("destination=crm", [4]),
        ("destination=table&state=due", [3, 1]),
        ("since=2027-01-14&until=2027-01-15", [5, 4, 3, 2]),
        ("until=2027-01-13", [1]),
        ("since=1d", [5, 4, 3, 2]),
        ("state=discarded", []),
    ],
)
def test_the_address_says_which_leads_are_listed(desk, query, expected):
    keep(
        desk.store,
        lead_of(desk.store, 1, SOMEONE, at=NOW - 2 * DAY),
        replace(lead_of(desk.store, 4, OTHER, to=["crm"]), duplicate_key=b"k" * 16),
        arrival(2, source="elsewhere", duplicate_key=b"k" * 16),
        arrival(3, test=True),
        unreadable(5),
    )
    settle(desk.store, dead, destination="crm")
    assert numbers(desk.operator().get(f"/console/leads?{query}")) == expected


@pytest.mark.parametrize(
    "query",
    ["state=lost", "test=perhaps", "since=yesterday", "until=9999-12-31", "person=someone", "before=1", "since=<b>"],
)
def test_a_filter_that_cannot_be_used_is_said_and_lists_nothing(desk, query):
    keep(desk.store, arrival(1))
    page = desk.operator().get(f"/console/leads?{query}")
    name, _, value = query.partition("=")
    alert = page.read('//*[@role="alert"]')
    assert (page.status, len(alert), numbers(page)) == (200, 1, [])
    assert (f"{name}: found '{value}'" in alert[0], "allowed" in alert[0]) == (True, True)


def test_pages_lead_from_newest_to_oldest_and_back_and_keep_the_filters(desk):
    keep(desk.store, *(arrival(number, test=number % 2 == 0) for number in range(1, 131)))
    visitor, seen = desk.operator(), []
    page = visitor.get("/console/leads?test=yes")
    assert not page.all('//a[text()="Back to newest"]')
    while True:
        seen += numbers(page)
        older = page.all('//a[@rel="next"]')
        if not older:
            break
        page = visitor.get(older[0].get("href"))
    assert seen == list(range(130, 0, -2))
    assert page.one('//a[text()="Back to newest"]').get("href") == "/console/leads?test=yes"


def test_what_arrived_is_summed_up_and_what_did_not_is_named(desk):
    keep(desk.store, arrival(1, to=["table", "crm"]), arrival(2, to=["table", "crm", "third"]))
    settle(desk.store, result)
    settle(desk.store, result, destination="crm")
    cells = desk.operator().get("/console/leads").read("//tbody/tr/td[last()]")
    assert cells == ["third: due 2 sent: crm, table", "all sent: crm, table"]


def test_an_empty_list_says_whether_nothing_came_or_nothing_fits(desk):
    visitor = desk.operator()
    assert "No lead has come in yet" in visitor.get("/console/leads").words
    assert "No lead fits these filters" in visitor.get("/console/leads?state=dead").words


# The search


def test_a_person_is_found_by_address_and_no_address_of_a_page_names_them(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE), lead_of(desk.store, 2, OTHER))
    visitor = desk.operator()
    found = visitor.post("/console/leads/search", {"q": " Someone@Contoso.com "})
    assert "someone" not in found.path.casefold()
    page = visitor.get(found.path)
    assert numbers(page) == [1]
    assert "someone" not in page.source.casefold()


def test_an_id_leads_to_its_lead_and_an_offer_to_its_leads(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE), lead_of(desk.store, 2, OTHER))
    visitor = desk.operator()
    found = {q: visitor.post("/console/leads/search", {"q": q}).path for q in (id_of(2).upper(), "GADGET", "contoso")}
    assert found == {
        id_of(2).upper(): one_page(2),
        "GADGET": "/console/leads?offer=Contoso+Gadget",
        "contoso": "/console/leads?offer=*contoso*",
    }
    assert numbers(visitor.get(found["contoso"])) == [2, 1]


@pytest.mark.parametrize("text", ["Some One", id_of(7), "someone@", "@"])
def test_what_is_not_found_stays_out_of_the_address(desk, text):
    page = desk.operator().post("/console/leads/search", {"q": text})
    assert page.status == 200
    assert "Location" not in page.answer.headers
    assert any(word in page.words for word in ("No lead has that id", "There is no lead", "whole e-mail address"))


def test_readers_search_for_people_and_are_offered_no_act(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    visitor = desk.reader()
    assert numbers(visitor.get(visitor.post("/console/leads/search", {"q": "someone@contoso.com"}).path)) == [1]
    page = visitor.get(one_page())
    assert page.buttons() == []
    assert "Contoso" not in page.source


@pytest.mark.parametrize("act", ["reveal", "replay", "discard", "deliver", "erase"])
def test_readers_are_refused_every_act(desk, act):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    refused = desk.reader().post(f"{one_page()}/{act}", {"destination": "table", "sure": "yes", "email": SOMEONE.email})
    assert refused.status == 403
    assert "someone@contoso.com" not in refused.source
    assert desk.audited() == []


# The export


def exported(page):
    return list(csv.DictReader(io.StringIO(page.source.removeprefix("\ufeff"))))


def test_the_export_has_the_filtered_leads_of_all_pages_and_nothing_personal(desk):
    crowd = [lead_of(desk.store, number, SOMEONE) for number in range(1, PORTION + 3)]
    keep(desk.store, *crowd, lead_of(desk.store, 9_999, OTHER))
    page = desk.operator().get("/console/leads.csv?offer=contoso.widget")
    assert [int(row["id"][:8], 16) for row in exported(page)] == list(range(PORTION + 2, 0, -1))
    first = exported(page)[0]
    assert {name: first[name] for name in ("status", "test", "offer", "table", "crm")} == {
        "status": "accepted",
        "test": "no",
        "offer": "contoso.widget",
        "table": "due",
        "crm": "",
    }
    personal = {SOMEONE.email, SOMEONE.first_name, SOMEONE.last_name, SOMEONE.phone, SOMEONE.company}
    assert personal.isdisjoint(first.values())
    assert SOMEONE.email not in page.source


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\uff1d"])
def test_no_cell_of_an_export_begins_as_a_formula(desk, begin):
    keep(desk.store, lead_of(desk.store, 1, Lead(email="someone@contoso.com", offer_title=f"{begin}cmd|' /C calc'!A1")))
    page = desk.operator().get("/console/leads.csv")
    cells = [cell for row in csv.reader(io.StringIO(page.source.removeprefix("\ufeff"))) for cell in row]
    assert f"'{begin}cmd|' /C calc'!A1" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d"))]


def test_readers_may_export_and_a_wrong_filter_exports_nothing(desk):
    keep(desk.store, arrival(1))
    visitor = desk.reader()
    assert len(exported(visitor.get("/console/leads.csv"))) == 1
    assert visitor.get("/console/leads.csv?state=lost").path == "/console/leads"


# One lead


def test_personal_fields_are_masked_until_they_are_shown_and_showing_is_recorded(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    visitor = desk.operator()
    personal = ("someone@contoso.com", "16175550199", "spring")
    page = visitor.get(one_page())
    assert [text for text in personal if text in page.source] == []
    shown = visitor.post(f"{one_page()}/reveal", {"field": "email"})
    assert [text for text in personal if text in shown.source] == ["someone@contoso.com"]
    assert "no-store" in shown.answer.headers["Cache-Control"]
    everything = visitor.post(f"{one_page()}/reveal")
    assert [text for text in personal if text in everything.source] == list(personal)
    assert [text for text in personal if text in visitor.get(one_page()).source] == []
    both = f"{id_of(1)} first_name,last_name,email,phone,company,campaign"
    assert desk.audited() == [
        ("reveal", both, "console:operator"),
        ("reveal", f"{id_of(1)} email", "console:operator"),
    ]


def test_a_field_shown_next_keeps_the_one_before_in_sight(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    visitor = desk.operator()
    shown = visitor.post(f"{one_page()}/reveal", {"field": "email"})
    form = shown.one('//button[@name="field"][@value="phone"]/ancestor::form')
    fields = [one.get("value") for one in form.xpath('.//*[@name="field"]')]
    both = visitor.post(f"{one_page()}/reveal", {"field": fields})
    assert ("someone@contoso.com" in both.source, "16175550199" in both.source) == (True, True)


def test_coming_back_to_what_was_shown_once_leads_to_the_masked_page(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    visitor = desk.operator()
    assert [visitor.get(f"{one_page()}/{act}").path for act in ("reveal", "erase")] == [one_page()] * 2
    assert desk.audited() == []


def test_hostile_text_is_readable_and_obeys_nothing(desk):
    keep(desk.store, lead_of(desk.store, 1, HOSTILE))
    visitor = desk.operator()
    for page in (visitor.get("/console/leads"), visitor.post(f"{one_page()}/reveal")):
        assert "<script>alert" not in page.source
        assert page.all("//img[@onerror]") == []
        assert "\u202e" not in page.source
    assert "<script>alert(1)</script>" in page.words
    assert "U+202Egnihton" in page.words
    assert page.one(f'//bdi[text()="{WORD}"]/..').get("class") == "lw-scroll"
    assert "onerror" in visitor.get("/console/leads").words


def test_the_timeline_tells_all_that_happened_in_its_order(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    settle(desk.store, lambda claim: failed(claim, due=NOW + 9000))
    desk.later(seconds=1)
    desk.operations.replay([(id_of(1), "table", "due")], who=Who("cli:someone", "asked by sales"))
    settle(desk.store, lambda claim: result(claim, remote_id="rec-42"), now=NOW + 2000)
    page = desk.operator().get(one_page())
    events = page.read('//section[@aria-labelledby="timeline-title"]//li')
    parts = [
        ("Received", "marketplace"),
        ("Accepted",),
        ("table", "network.timeout", "retry"),
        ("cli:someone", "replay", "asked by sales"),
        ("table", "delivered", "rec-42"),
    ]
    missing = [part for event, wanted in zip(events, parts, strict=True) for part in wanted if part not in event]
    assert missing == []
    assert page.one('//main//a[contains(@href, "/console/explain")]').get("href").endswith("network.timeout")
    assert page.one('//*[@data-copy="rec-42"]').text == "Copy"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"duplicate_key": b"k" * 16}, "Taken for a duplicate of"),
        ({"status": "withheld", "email_domain": "mit.edu", "to": ()}, "mit.edu"),
        ({"test": True}, "Taken for a test lead"),
    ],
)
def test_the_timeline_says_what_a_lead_was_taken_for(desk, more, said):
    keep(desk.store, arrival(2, duplicate_key=b"k" * 16), arrival(1, **more))
    page = desk.operator().get(one_page())
    assert said in page.words
    assert bool(page.all(f'//a[@href="{one_page(2)}"]')) == ("duplicate" in said)


def test_a_lead_that_cannot_be_delivered_says_why_beside_its_buttons(desk):
    keep(desk.store, arrival(1))
    settle(desk.store, dead)
    panel = desk.operator().get(one_page()).read('//section[@aria-labelledby="deliveries-title"]')[0]
    entry = desk.wiring.catalogue.get("azure_table.entity-too-large")
    assert f"{entry.code} {entry.title}" in panel


def test_a_lead_that_waits_says_what_its_destination_is_stopped_for(desk):
    keep(desk.store, arrival(1))
    settle(desk.store, held)
    keep(desk.store, arrival(2))
    page = desk.operator().get(one_page(2))
    assert desk.wiring.catalogue.get("azure_table.authentication-failed").title in page.words
    assert "held" in page.words


def test_a_lead_that_is_under_way_is_followed_and_a_settled_one_is_not(desk):
    keep(desk.store, arrival(1))
    visitor = desk.operator()
    moving = bool(visitor.get(one_page()).all("//main//*[@data-live]"))
    settle(desk.store, result)
    assert (moving, bool(visitor.get(one_page()).all("//main//*[@data-live]"))) == (True, False)


def test_a_lead_that_does_not_exist_is_a_page_that_says_so(desk):
    assert desk.operator().get(one_page(77)).status == 404


# What can be done


def state(desk, number=1):
    return {one["destination"]: one["state"] for one in desk.operations.show(id_of(number))["deliveries"]}


def test_a_delivery_is_replayed_with_the_reason_in_the_audit(desk):
    keep(desk.store, arrival(1, to=["table", "crm"]))
    settle(desk.store, dead)
    settle(desk.store, dead, destination="crm")
    page = desk.operator().post(f"{one_page()}/replay", {"destination": "table", "why": "mended"}, follow=True)
    assert "due now" in page.words
    assert state(desk) == {"table": "due", "crm": "dead"}
    row = rows(desk.store, audit)[-1]
    assert (row["action"], row["target"], row["why"]) == ("replay", f"{id_of(1)} table", "mended")


def test_a_delivery_is_given_up_alone(desk):
    keep(desk.store, arrival(1, to=["table", "crm"]))
    page = desk.operator().post(f"{one_page()}/discard", {"destination": "crm"}, follow=True)
    assert "given up" in page.words
    assert state(desk) == {"table": "due", "crm": "discarded"}


def test_a_lead_is_delivered_to_another_destination_that_is_offered(desk):
    keep(desk.store, arrival(1))
    visitor = desk.operator()
    offered = visitor.get(one_page()).read('//select[@name="destination"]/option')
    assert offered == ["crm"]
    visitor.post(f"{one_page()}/deliver", {"destination": "crm"})
    assert state(desk) == {"table": "due", "crm": "due"}
    refused = visitor.post(f"{one_page()}/deliver", {"destination": "nowhere"}, follow=True)
    assert "No destination 'nowhere' is configured" in refused.words


def test_a_person_is_erased_only_when_sure_and_who_holds_them_still_is_told(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE), lead_of(desk.store, 2, SOMEONE), lead_of(desk.store, 3, OTHER))
    settle(desk.store, lambda claim: result(claim, remote_id=f"rec-{claim.receipt_id[7]}"))
    visitor = desk.operator()
    asked = visitor.post(f"{one_page()}/erase")
    assert ("someone@contoso.com" in asked.words, "2 entries" in asked.words) == (True, True)
    assert desk.operations.show(id_of(1))["status"] == "accepted"
    fields = {one.get("name"): one.get("value") for one in asked.all('//main//input[@type="hidden"]')}
    done = visitor.post(f"{one_page()}/erase", {**fields, "sure": "yes", "why": "asked to"})
    assert [name for name in ("rec-1", "rec-2", "rec-3") if name in done.source] == ["rec-1", "rec-2"]
    assert [desk.operations.show(id_of(number))["status"] for number in (1, 2, 3)] == ["erased", "erased", "accepted"]
    assert "erased" in visitor.get(one_page()).words


def test_every_act_needs_the_forms_own_token(desk):
    keep(desk.store, lead_of(desk.store, 1, SOMEONE))
    client = desk.operator().client
    answers = {
        act: client.post(f"{one_page()}/{act}", data={"destination": "table"}).status_code
        for act in ("reveal", "replay", "discard", "deliver", "erase")
    }
    assert set(answers.values()) == {400}
    assert desk.audited() == []


def test_a_list_asks_the_store_no_more_often_with_more_leads(desk, queries):
    visitor = desk.operator()
    keep(desk.store, arrival(1, to=["table", "crm"]))
    few = queries(lambda: visitor.get("/console/leads"))
    keep(desk.store, *(arrival(number, to=["table", "crm"]) for number in range(2, 50)))
    assert queries(lambda: visitor.get("/console/leads")) == few
