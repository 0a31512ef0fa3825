"""The page of test leads: did mine arrive, where is it now, and one sent from here."""

import pytest

from app.lead import Lead
from app.store.tables import workers
from tests.parts import desk as console
from tests.parts.arrivals import NOW, arrival, dead, failed, held, id_of, keep, lead_of, result, settle, unreadable

desk, queries = console.desk, console.queries  # fixtures are found by their names

PAGE = "/console/test-leads"


def trial(number=1, offer="widget", **more):
    lead = Lead(first_name="MSFT_TEST", email="MSFT_TEST@test.com", publisher_id="contoso", offer_id=offer)
    return arrival(number, lead=lead, test=True, **more)


def verdict(desk, number=1):
    page = desk.operator().get(f"{PAGE}?lead={id_of(number)}")
    return page, " ".join(page.read('//*[@aria-labelledby="followed-title"]//*[contains(@class, "alert")]'))


def working(desk):
    with desk.store.write() as connection:
        connection.execute(workers.insert().values(name="worker-1", started_at=NOW, seen_at=NOW))


def test_a_lead_that_arrived_everywhere_says_how_long_it_took(desk):
    keep(desk.store, trial(to=["table", "crm"]))
    settle(desk.store, result, now=NOW + 700)
    settle(desk.store, result, destination="crm", now=NOW + 1200)
    assert verdict(desk)[1] == "Arrived everywhere in 1.2 s."


def test_a_lead_that_waits_says_where_and_why_with_the_remedys_steps(desk):
    keep(desk.store, arrival(9, at=NOW - 9, to=["crm"]))
    settle(desk.store, held, destination="crm")
    keep(desk.store, trial(to=["table", "crm"]))
    settle(desk.store, result)
    page, said = verdict(desk)
    entry = desk.wiring.catalogue.get("azure_table.authentication-failed")
    assert said == f"Waiting at crm: {entry.title}."
    assert page.read('//*[@aria-labelledby="followed-title"]//ol/li') == [
        " ".join(one.replace("`", "").split()) for one in entry.remedy
    ]


def test_a_lead_whose_tries_fail_is_waiting_for_its_own_failure(desk):
    keep(desk.store, trial())
    settle(desk.store, lambda claim: failed(claim, due=NOW + 5000))
    assert verdict(desk)[1] == f"Waiting at table: {desk.wiring.catalogue.get('network.timeout').title}."


def test_a_lead_that_cannot_be_delivered_says_so(desk):
    keep(desk.store, trial(to=["table", "crm"]))
    settle(desk.store, dead)
    settle(desk.store, result, destination="crm")
    assert verdict(desk)[1].startswith("Not deliverable at table: ")


@pytest.mark.parametrize(("seen", "said"), [(True, "On its way to table."), (False, "no worker is running")])
def test_a_lead_under_way_says_whether_anybody_delivers_it(desk, seen, said):
    keep(desk.store, trial())
    if seen:
        working(desk)
    page, text = verdict(desk)
    assert said in text
    assert page.all("//main//*[@data-live]")


def test_a_lead_that_goes_nowhere_and_one_that_could_not_be_read_say_so(desk):
    keep(desk.store, trial(to=()), unreadable(2, test=True))
    assert "delivered nowhere" in verdict(desk)[1]
    assert "quarantined" in verdict(desk, 2)[1]


def test_each_offer_shows_its_latest_test_lead_and_the_others_are_named(desk):
    keep(
        desk.store,
        trial(1, at=NOW - 5),
        trial(2),
        trial(3, offer="gadget"),
        lead_of(desk.store, 4, Lead(email="someone@contoso.com", offer_title="Never Tried")),
    )
    settle(desk.store, result)
    page = desk.operator().get(PAGE)
    shown = page.read("//tbody/tr")
    assert ("gadget" in shown[0], "widget" in shown[1], "arrived" in shown[1]) == (True, True, True)
    assert page.one('//a[contains(@href, "offer=contoso.widget")]').text == "2"
    assert page.read("//main//details//li") == ["Never Tried"]
    only = desk.operator().get(f"{PAGE}?offer=contoso.gadget")
    assert len(only.read("//tbody/tr")) == 1


def test_no_test_lead_at_all_says_where_to_look(desk):
    words = desk.operator().get(PAGE).words
    assert ("No test lead is here" in words, "quarantine" in words.casefold()) == (True, True)


def test_a_followed_lead_that_is_gone_is_said_and_the_page_stays(desk):
    page = desk.operator().get(f"{PAGE}?lead={id_of(77)}")
    assert (page.status, f"There is no lead {id_of(77)}" in page.words) == (200, True)


def test_a_server_that_cannot_be_reached_is_said_and_no_key_with_it(desk):
    page = desk.operator().post(PAGE, {"source": "marketplace"}, follow=True)
    assert "can't be reached" in page.words
    assert "a-key-for-tests" not in page.source


def test_a_source_that_is_not_configured_is_said(desk):
    page = desk.operator().post(PAGE, {"source": "elsewhere"}, follow=True)
    assert "No source 'elsewhere' is configured" in page.words


def test_readers_look_and_send_nothing(desk):
    keep(desk.store, trial())
    visitor = desk.reader()
    assert "Send and follow" not in visitor.get(PAGE).buttons()
    assert visitor.post(PAGE, {"source": "marketplace"}).status == 403


def test_an_offer_that_is_hostile_is_only_text(desk):
    offer = '"><script>alert(1)</script>'
    keep(desk.store, trial(offer=offer))
    page = desk.operator().get(PAGE)
    assert "<script>alert" not in page.source
    assert f"contoso.{offer}" in page.words


def test_the_page_asks_the_store_no_more_often_with_more_offers(desk, queries):
    visitor = desk.operator()
    keep(desk.store, trial(1))
    few = queries(lambda: visitor.get(PAGE))
    keep(desk.store, *(trial(number, offer=f"offer{number}") for number in range(2, 40)))
    assert queries(lambda: visitor.get(PAGE)) == few
