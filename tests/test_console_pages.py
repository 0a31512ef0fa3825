"""What holds for every page of the console in a real browser: its policy, no foreign origin, keyboard, scripts off."""

import pytest
import requests
from playwright.sync_api import expect

from tests.parts import browser
from tests.parts.browser import PAGES, PHONE, password_of, reader_cookie

pytestmark = browser.MARK
# The element that has the focus: what it says, and whether one sees that it has it.
FOCUS = """() => {
    const one = document.activeElement;
    const look = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    const ring = look.outlineStyle !== "none" && parseFloat(look.outlineWidth) > 0 || look.boxShadow !== "none";
    const said = one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText || one.name || "";
    return {tag: one.tagName, said: said.trim().replace(/\\s+/g, " "), ring, seen: box.width > 1 && box.height > 1,
            inside: box.right > 0 && box.left < innerWidth && box.bottom > 0 && box.top < innerHeight};
}"""
WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
MAIN_ACTS = {
    "overview": "Problems",
    "problems": "Test connection",
    "leads": "Search",
    "lead": "Show all",
    "test leads": "Send and follow",
    "quarantined": "Show and mend the body",
    "explain": "Explain",
    "settings": "Show the URL",
}
MANY_TABS = 60


PATIENCE = 15_000  # ms


@pytest.fixture
def operator(seeded_console, visitor):
    """Let an operator in, with whatever browser is asked for."""

    def come(**how):
        visit = visitor(seeded_console.url, **how)
        visit.sign_in(password_of(seeded_console))
        visit.pages = seeded_console.pages
        return visit

    return come


def test_no_page_breaks_its_policy_or_asks_anybody_else_for_anything(operator):
    visit = operator()
    for name in PAGES:
        answer = visit.open(visit.pages[name])
        policy = answer.headers["content-security-policy"]
        assert "unsafe-inline" not in policy, name
        assert "unsafe-eval" not in policy, name
        assert "default-src 'none'" in policy or "default-src 'self'" in policy, name
        visit.page.wait_for_load_state("networkidle")
    # The page that is not there is answered 404, which the browser says too.
    assert [fault for fault in visit.faults if "404" not in fault] == []
    assert visit.foreign == []


def test_the_policy_really_refuses_what_an_attacker_would_write(operator):
    visit = operator()
    visit.page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.broken = 1';"
        " document.body.append(one); const image = new Image(); image.src = 'https://fabrikam.example/x.png';"
        " document.body.append(image); }"
    )
    visit.page.wait_for_timeout(100)
    assert visit.page.evaluate("window.broken") is None
    assert len(visit.faults) == 2
    assert all("Content Security Policy" in fault for fault in visit.faults)


def test_hostile_text_is_shown_as_text_and_stretches_no_page(operator):
    visit = operator()
    visit.open(visit.pages["lead, hostile"])
    visit.page.get_by_role("button", name="Show all").click()
    expect(visit.page.get_by_text("<script>alert('Contoso')</script>")).to_be_visible(timeout=PATIENCE)
    expect(visit.page.get_by_text("<img src=x onerror=alert(1)>")).to_be_visible(timeout=PATIENCE)
    assert visit.page.locator("main img").count() == 0
    assert visit.faults == []


@pytest.mark.parametrize(
    "size", [browser.DESKTOP, PHONE, {"width": 320, "height": 640}], ids=["wide", "phone", "small"]
)
def test_no_page_scrolls_sideways(size, operator):
    visit = operator(size=size)
    wider = {}
    for name in PAGES:
        visit.open(visit.pages[name])
        wider[name] = visit.page.evaluate(WIDER)
    assert {name: pixels for name, pixels in wider.items() if pixels > 0} == {}


@pytest.mark.parametrize("name", MAIN_ACTS)
def test_the_keyboard_alone_reaches_what_a_page_is_for_and_shows_where_it_is(name, operator):
    visit = operator()
    visit.open(visit.pages[name])
    visit.page.evaluate("document.activeElement.blur()")
    unseen, reached = [], []
    for _ in range(MANY_TABS):
        visit.page.keyboard.press("Tab")
        focus = visit.page.evaluate(FOCUS)
        reached.append(focus["said"])
        if not (focus["ring"] and focus["seen"] and focus["inside"]):
            unseen.append(focus)
        if len(reached) > 1 and MAIN_ACTS[name] in focus["said"]:
            break
    assert unseen == []
    assert any(MAIN_ACTS[name] in said for said in reached[1:]), reached


def test_the_first_tab_is_a_link_that_skips_the_menu(operator):
    visit = operator()
    visit.open(visit.pages["problems"])
    visit.page.keyboard.press("Tab")
    focus = visit.page.evaluate(FOCUS)
    assert focus["said"].startswith("Skip")
    assert focus["seen"]
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_with_scripts_off_a_person_signs_in_ticks_filters_and_mends(operator):
    visit = operator(scripts=False)
    page = visit.page
    visit.open("/console/problems")
    problem = page.locator("article").filter(has_text="crm: ")
    last = problem.get_by_role("checkbox").last
    expect(last).not_to_be_checked()
    last.check()
    problem.get_by_role("button", name="Save the ticks").click()
    visit.open("/console/problems")
    expect(last).to_be_checked(timeout=PATIENCE)
    visit.open("/console/leads")
    page.get_by_label("State").select_option("dead")
    page.get_by_role("button", name="Filter").click()
    assert visit.path().startswith("/console/leads?state=dead")
    expect(page.get_by_text("sales: dead").first).to_be_visible(timeout=PATIENCE)
    visit.open(visit.pages["quarantined"])
    page.get_by_role("button", name="Show and mend").click()
    body = page.get_by_label("Edit").input_value()
    page.get_by_label("Edit").fill(body.replace('"One"\n', '"One",\n'))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("It reads as a lead")).to_be_visible(timeout=PATIENCE)
    assert visit.foreign == []


def test_the_theme_follows_the_system_and_a_person_can_choose_another(operator):
    visit = operator(theme="dark")
    dark = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.page.get_by_role("button", name="Light", exact=True).click()
    visit.page.wait_for_timeout(300)
    light = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    visit.open("/console/leads")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == light


def test_times_are_written_in_the_zone_of_whoever_looks(operator):
    visit = operator(timezone_id="Asia/Tokyo")
    visit.open("/console/leads")
    shown = visit.page.locator("tbody time").first
    moment, text = shown.get_attribute("datetime"), shown.inner_text()
    said = visit.page.evaluate(
        "moment => new Date(moment).toLocaleString('sv-SE', {timeZone: 'Asia/Tokyo'}).slice(0, 16)", moment
    )
    assert text.startswith(said)


def test_a_reader_sees_no_act_and_is_refused_where_they_try_one(seeded_console, visitor):
    visit = visitor(seeded_console.url)
    cookie = reader_cookie(seeded_console)
    visit.context.add_cookies([cookie])
    for name in ("problems", "lead", "test leads", "quarantined", "settings"):
        visit.open(seeded_console.pages[name])
        act = MAIN_ACTS[name]
        assert visit.page.get_by_role("button", name=act).count() == 0, name
    visit.open(seeded_console.pages["lead"])
    token = visit.page.locator("input[name=csrf_token]").first.input_value()
    answer = requests.post(
        f"{seeded_console.url}{seeded_console.pages['lead']}/reveal",
        {"csrf_token": token},
        headers={"Cookie": "; ".join(f"{one['name']}={one['value']}" for one in visit.context.cookies())},
        timeout=10,
    )
    assert answer.status_code == 403
    assert "@contoso.com" not in answer.text.replace("someone@contoso.com", "")
