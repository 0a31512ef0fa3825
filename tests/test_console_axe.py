"""axe looks at every page, in both themes, wide and on a phone: nothing serious keeps anybody out."""

from pathlib import Path

import pytest

from tests.parts import browser, unavailable
from tests.parts.browser import DESKTOP, PAGES, PHONE, password_of

pytestmark = browser.MARK
AXE = Path(__file__).parents[1] / "node_modules/axe-core/axe.min.js"
RUN = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations.filter(one => ["serious", "critical"].includes(one.impact)).flatMap(
        one => one.nodes.map(node => `${one.id}: ${node.target} ${node.failureSummary}`));
}"""
# The page must be as its people see it before it is looked at: axe reads colours that are still changing.
SETTLED = "async () => Promise.all(document.getAnimations().map(one => one.finished))"
LOOKS = {
    "light": {"theme": "light", "size": DESKTOP},
    "dark": {"theme": "dark", "size": DESKTOP},
    "phone": {"theme": "light", "size": PHONE},
    "dark phone": {"theme": "dark", "size": PHONE},
}


@pytest.fixture(scope="module")
def axe():
    if not AXE.exists():
        unavailable("axe", "it needs Node.js and `npm ci`")
    return AXE.read_text()


def faults(visit, axe):
    """What axe finds on the page that is open."""
    visit.page.evaluate(SETTLED)
    visit.page.evaluate(axe)
    return visit.page.evaluate(RUN)


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_no_serious_fault_on_any_page(look, seeded_console, visitor, axe):
    visit = visitor(seeded_console.url, **LOOKS[look])
    visit.open("/console/sign-in")
    found = {"sign-in": faults(visit, axe)}
    visit.sign_in(password_of(seeded_console))
    for name in PAGES:
        visit.open(seeded_console.pages[name])
        found[name] = faults(visit, axe)
    assert {name: listed for name, listed in found.items() if listed} == {}


def test_axe_is_really_looking(seeded_console, visitor, axe):
    visit = visitor(seeded_console.url)
    visit.open("/console/sign-in")
    visit.page.evaluate("document.querySelectorAll('label').forEach(one => one.remove())")
    assert any(fault.startswith("label") for fault in faults(visit, axe))


def test_axe_finds_no_serious_fault_where_something_was_shown_or_asked_for(seeded_console, visitor, axe):
    visit = visitor(seeded_console.url)
    visit.sign_in(password_of(seeded_console))
    page, found = visit.page, {}
    visit.open(seeded_console.pages["lead"])
    page.get_by_role("button", name="Show all").click()
    page.get_by_text("@contoso.com").first.wait_for()
    found["revealed"] = faults(visit, axe)
    visit.open(seeded_console.pages["quarantined"])
    page.get_by_role("button", name="Show and mend").click()
    page.get_by_label("Edit").wait_for()
    found["editor"] = faults(visit, axe)
    visit.open("/console/explain")
    page.get_by_role("textbox").first.fill("SecLib::RetrievePrivilegeForUser failed")
    page.get_by_role("button", name="Explain").click()
    page.get_by_text("no security role").first.wait_for()
    found["explained"] = faults(visit, axe)
    assert {name: listed for name, listed in found.items() if listed} == {}
