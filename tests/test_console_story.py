"""The console in a real browser, over a real server and a CRM's stand-in: what people do all day, from end to end."""

import pytest
import requests
from playwright.sync_api import expect

from tests.parts import browser
from tests.parts.browser import PHONE, password_of
from tests.parts.server import KEY, Server, lead, until
from tests.standins.dataverse import DataverseServer
from tests.standins.entra import CLIENT, SECRET, TENANT, EntraServer

pytestmark = browser.MARK
CRM = """
[destinations.crm]
type = "dynamics"
url = "{crm.url}"
auth = "app"
tenant_id = "{tenant}"
client_id = "{client}"
client_secret = "env:DYNAMICS_SECRET"
authority = "{entra.url}"
ca_bundle = "{ca_bundle}"
"""
JSON = {"Content-Type": "application/json"}
BROKEN = (
    b'{"userDetails": {"firstName": "Some",\n "lastName": "One" "email": "someone@contoso.com"},\n "leadSource": "X"}'
)


PATIENCE = 15_000  # ms


@pytest.fixture
def crm(server_tls):
    """A Dataverse environment with its sign-in service."""
    entra = EntraServer(server_tls)
    environment = DataverseServer(server_tls, entra)
    yield environment
    environment.stop()
    entra.stop()


@pytest.fixture
def served(tmp_path, crm, ca_bundle):
    """A running Leadwire that delivers to that CRM, with workers."""
    made = Server(
        tmp_path, more=CRM.format(crm=crm, entra=crm.entra, tenant=TENANT, client=CLIENT, ca_bundle=ca_bundle)
    )
    made.environment["DYNAMICS_SECRET"] = SECRET
    made.start()
    yield made
    made.end()


@pytest.fixture
def small(server):
    """A running Leadwire with the one file destination."""
    server.start()
    return server


@pytest.fixture
def operator(visitor):
    """Let an operator of a server in."""

    def come(served, **how):
        visit = visitor(served.url, **how)
        visit.sign_in(password_of(served))
        return visit

    return come


def stay(page):
    """Mark the page, so that one sees whether it was loaded again."""
    page.evaluate("window.stayed = true")


def stayed(page):
    return page.evaluate("window.stayed === true")


def accepted(served, number):
    """Send a lead; gives its id."""
    answer = served.post(lead(number))
    assert answer.status_code == 202
    return answer.json()["id"]


def test_a_parked_crm_is_seen_explained_mended_and_watched_drain_and_a_lead_found_shown_and_audited(
    served, crm, operator
):
    visit = operator(served)
    page = visit.page
    expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=PATIENCE)

    # A role is taken away, and leads come: the overview says so without being loaded again.
    stay(page)
    crm.roles = False
    ids = [accepted(served, number) for number in range(3)]
    page.get_by_text("no security role").first.wait_for()
    page.get_by_text("parked", exact=True).first.wait_for()
    page.get_by_text("3 leads wait").first.wait_for()
    assert stayed(page)

    # The remedy is read where the problems are, and the role given back.
    page.get_by_role("link", name="All").first.click()
    assert visit.path().startswith("/console/problems")
    problem = page.locator("article", has_text="no security role")
    expect(problem.get_by_text("Microsoft Marketplace Lead Writer")).to_be_visible(timeout=PATIENCE)
    problem.get_by_text("Evidence").click()
    expect(problem.get_by_text("0x80042f09")).to_be_visible(timeout=PATIENCE)
    problem.get_by_role("checkbox").first.check()
    crm.roles = True

    # Test connection: what waited is delivered, and the page shows it by itself.
    problem.get_by_role("button", name="Test connection").click()
    page.get_by_text("connected").or_(page.get_by_text("No problems")).first.wait_for()
    stay(page)
    page.get_by_text("No problems").wait_for()
    assert stayed(page)
    assert until(lambda: len(crm.leads) == 3, seconds=10)
    over = page.get_by_role("row", name="no security role")
    assert until(lambda: visit.open("/console/problems/history") and over.is_visible(), seconds=30)

    # The lead is found by its address, which no address bar ever holds.
    visit.open("/console/leads")
    page.get_by_role("searchbox").fill("SomeOne1@contoso.com")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**/console/leads?person=*")
    assert "contoso" not in visit.path().lower()
    page.get_by_role("link", name=ids[1]).click()
    assert page.get_by_text("someone1@contoso.com").count() == 0
    expect(page.get_by_text("crm").first).to_be_visible(timeout=PATIENCE)

    # A field is shown, and that is seen in the audit.
    page.get_by_role("button", name="Show email").click()
    page.get_by_text("someone1@contoso.com").wait_for()
    assert "contoso" not in visit.path().lower()
    assert page.get_by_text("One 1").count() == 0
    visit.open("/console/audit")
    shown = page.get_by_role("row", name="reveal").first.inner_text()
    assert ids[1] in shown
    assert "email" in shown
    assert "console:operator" in shown
    assert visit.foreign == []
    assert visit.faults == []


def test_after_five_wrong_passwords_the_next_try_waits_even_with_the_right_one(small, visitor):
    visit = visitor(small.url)
    visit.open("/console/")
    for _ in range(5):
        visit.page.get_by_label("Password").fill("not-it")
        visit.page.get_by_role("button", name="Sign in").click()
        visit.page.get_by_text("That is not the password").wait_for()
    expect(visit.page.get_by_text("Wait 1 minute")).to_be_visible(timeout=PATIENCE)
    visit.page.get_by_label("Password").fill(password_of(small))
    visit.page.get_by_role("button", name="Sign in").click()
    visit.page.get_by_text("Wait").wait_for()
    visit.open("/console/leads")
    assert visit.path().startswith("/console/sign-in")


def test_who_signs_out_is_out_and_comes_back_to_the_page_they_wanted(small, operator):
    visit = operator(small)
    visit.page.get_by_role("button", name="Sign out").click()
    visit.open("/console/audit")
    assert visit.path().startswith("/console/sign-in")
    visit.page.get_by_label("Password").fill(password_of(small))
    visit.page.get_by_role("button", name="Sign in").click()
    visit.page.wait_for_url("**/console/audit")


def test_a_test_lead_sent_from_the_console_is_followed_until_it_arrived_without_a_reload(served, crm, operator):
    crm.maintenance = True
    visit = operator(served)
    visit.open("/console/test-leads")
    visit.page.get_by_role("button", name="Send and follow").click()
    visit.page.wait_for_url("**/console/test-leads?lead=*")
    stay(visit.page)
    assert visit.page.get_by_text("Arrived everywhere").count() == 0
    crm.maintenance = False
    visit.page.get_by_text("Arrived everywhere").wait_for(timeout=30_000)
    assert stayed(visit.page)
    assert len(crm.leads) == 1


def test_a_body_that_is_no_lead_is_mended_previewed_and_released_in_the_browser(small, operator):
    answer = requests.post(f"{small.url}/leads?code={KEY}", BROKEN, headers=JSON, timeout=10)
    id_ = answer.json()["quarantine_id"]
    visit = operator(small, size=PHONE)
    page = visit.page
    visit.open("/console/quarantine")
    page.get_by_role("link", name=id_).click()
    page.get_by_role("button", name="Show and mend").click()
    expect(page.locator("mark")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text("Line 2, column")).to_be_visible(timeout=PATIENCE)
    page.get_by_label("Edit").fill(BROKEN.decode().replace('"One" ', '"One", '))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("It reads as a lead")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("row", name="email").get_by_text("someone@contoso.com")).to_be_visible(timeout=PATIENCE)
    assert small.delivered() == []
    page.get_by_role("button", name="Release").click()
    page.wait_for_load_state()
    assert until(lambda: small.delivered() == [id_], seconds=10)
    visit.open("/console/quarantine")
    expect(page.get_by_text("The quarantine is empty")).to_be_visible(timeout=PATIENCE)
