"""The console's explain and audit pages."""

import pytest

from tests.parts import desk as console
from tests.parts.arrivals import SOMEONE, arrival, id_of, keep

desk = console.desk  # fixtures are found by their names


def explained(desk, text):
    return desk.operator().post("/console/explain", {"text": text})


def test_an_error_gives_its_remedy(desk):
    page = explained(desk, "AADSTS7000215: Invalid client secret provided.")
    entry = desk.wiring.catalogue.explain("AADSTS7000215: Invalid client secret provided.")
    named = [entry.entry] if entry.entry else entry.candidates
    assert [one.title for one in named if one.title not in page.words] == []


def test_an_unknown_error_says_what_to_try(desk):
    assert "does not know this error" in explained(desk, "the cat sat on the keyboard").words


def test_several_causes_are_all_shown(desk):
    texts = ["invalid client secret", "AADSTS7000215", "timeout", "403 forbidden"]
    candidates = [text for text in texts if desk.wiring.catalogue.explain(text).candidates]
    for text in candidates:
        page = explained(desk, text)
        assert "Several causes fit" in page.words
        assert len(page.all("//article")) == len(desk.wiring.catalogue.explain(text).candidates)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\u202eevil", "x" * 30_000, "\x00\x07", "   "])
def test_hostile_text_harms_nothing(desk, text):
    page = explained(desk, text)
    assert page.status == 200
    assert "<script>alert" not in page.source


def test_what_is_pasted_is_kept_nowhere(desk):
    explained(desk, "someone@contoso.com could not sign in")
    assert "someone@contoso.com" not in str(desk.operations.audit())


def test_a_code_in_the_address_shows_its_entry(desk):
    page = desk.operator().get("/console/explain?code=dynamics.timeout")
    assert desk.wiring.catalogue.get("dynamics.timeout").title in page.words
    assert "has no entry" in desk.operator().get("/console/explain?code=%3Cb%3E").words


def test_readers_may_explain(desk):
    assert desk.reader().post("/console/explain", {"text": "AADSTS7000215"}).status == 200


def test_the_audit_names_who_did_what_to_which_lead(desk):
    keep(desk.store, arrival(1))
    visitor = desk.operator()
    visitor.post(f"/console/leads/{id_of(1)}/reveal", {"field": "email"})
    page = visitor.get("/console/audit?action=reveal")
    row = page.read("//tbody/tr")[0]
    assert "console:operator" in row
    assert "email" in row
    assert page.all(f"//tbody//a[@href='/console/leads/{id_of(1)}']")


def test_the_audits_filters_narrow_it(desk):
    keep(desk.store, arrival(1), arrival(2))
    visitor = desk.operator()
    for number in (1, 2):
        visitor.post(f"/console/leads/{id_of(number)}/reveal", {"field": "email"})
    assert len(visitor.get(f"/console/audit?target={id_of(2)}").read("//tbody/tr")) == 1
    assert len(visitor.get("/console/audit?actor=console:operator&action=reveal").read("//tbody/tr")) == 2
    assert "Nothing fits" in visitor.get("/console/audit?actor=nobody").words


def test_the_audit_has_pages(desk):
    for _ in range(120):
        desk.operations.new_token("x", "reader", who=SOMEONE)
    visitor = desk.operator()
    first = visitor.get("/console/audit?action=token-made")
    second = visitor.get(first.one('//a[@rel="next"]').get("href"))
    assert [len(page.read("//tbody/tr")) for page in (first, second)] == [100, 20]


@pytest.mark.parametrize("before", ["-1", "x", "9" * 40, "1e3", "٣"])
def test_a_senseless_page_is_the_first_one(desk, before):
    assert desk.operator().get("/console/audit", query_string={"before": before}).status == 200
