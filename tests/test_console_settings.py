"""The console's settings: what is configured, addresses, connections, tokens, retention."""

import pytest

from app.store.tables import State
from tests.parts import desk as console
from tests.parts.arrivals import DAY, NOW, arrival, held, id_of, keep, settle

KEY, PASSWORD, desk = console.KEY, console.PASSWORD, console.desk  # fixtures are found by their names

PAGE = "/console/settings"


def row(page, key, section):
    found = page.one(f'//tbody[tr/th/code[text()="[{section}]"]]/tr[th/code[text()="{key}"]]')
    return [" ".join(cell.text_content().split()) for cell in found.xpath("./*")]


def test_every_setting_has_its_value_and_where_it_comes_from(desk):
    page = desk.operator().get(PAGE)
    assert row(page, "window_hours", "duplicates") == ["window_hours", "24", "default"]
    assert row(page, "url", "store")[1:] == [desk.wiring.settings.store.url, str(desk.folder / "leadwire.toml")]
    assert row(page, "password", "console") == ["password", "set", "env:DESK_PASSWORD"]


def test_no_secret_is_on_the_page(desk):
    for visitor in (desk.operator(), desk.reader()):
        source = visitor.get(PAGE).source
        assert [secret for secret in (KEY, PASSWORD) if secret in source] == []


def test_a_sources_address_is_shown_with_its_key_to_who_asks_once_and_recorded(desk):
    visitor = desk.operator()
    page = visitor.get(PAGE)
    form = page.one('//button[@name="key"]/ancestor::form')
    fields = {"source": form.xpath('.//input[@name="source"]')[0].get("value")}
    key = form.xpath('.//button[@name="key"]')[0].get("value")
    shown = visitor.post(form.get("action"), {**fields, "key": key})
    url = shown.one("//input[@readonly]").get("value")
    assert url.endswith(f"/leads?code={KEY}")
    assert shown.one(f'//*[@data-copy="{url}"]') is not None
    assert "no-store" in shown.answer.headers["Cache-Control"]
    assert KEY not in visitor.get(PAGE).source
    assert [one[:2] for one in desk.audited()] == [("reveal-address", f"marketplace {key}")]


def test_a_key_that_is_not_there_is_said(desk):
    page = desk.operator().post(f"{PAGE}/source-url", {"source": "marketplace", "key": "nope"}, follow=True)
    assert "has no key" in page.words


def test_a_key_says_when_it_was_last_used(desk):
    visitor = desk.operator()
    cells = "//tr[td/code[text()='env:DESK_KEY']]/td"
    assert visitor.get(PAGE).read(cells)[1] == "never"
    from app.store.key_uses import KeyUses

    fingerprint = desk.wiring.settings.sources["marketplace"].keys[0].fingerprint
    KeyUses(desk.store).note(fingerprint, source="marketplace", now=NOW)
    assert visitor.get(PAGE).one(f"{cells}//time").get("datetime").startswith("2027-01-15")


def test_a_connection_is_tested_for_real_and_the_result_stays(desk):
    visitor = desk.operator()
    page = visitor.post(f"{PAGE}/check", {"destination": "table"}, follow=True)
    assert "table: connected" in page.words
    assert "not checked yet" in page.read("//tr[td[normalize-space()='crm']]")[0]
    assert "connected" in page.read("//tr[td[normalize-space()='table']]")[0]
    assert [one[:2] for one in desk.audited()] == [("check", "table ok")]


def test_a_connection_that_fails_says_what_to_do(desk):
    (desk.folder / "crm.jsonl").mkdir()
    page = desk.operator().post(f"{PAGE}/check", follow=True)
    code = desk.operations.checks()["crm"]["code"]
    entry = desk.wiring.catalogue.get(code)
    cell = page.read("//tr[td[normalize-space()='crm']]")[0]
    assert [
        part for part in (code, entry.title, *entry.remedy) if " ".join(part.replace("`", "").split()) not in cell
    ] == []
    assert "connected" in page.read("//tr[td[normalize-space()='table']]")[0]


def test_a_destination_that_is_not_configured_is_said(desk):
    page = desk.operator().post(f"{PAGE}/check", {"destination": "nowhere"}, follow=True)
    assert "No destination 'nowhere' is configured" in page.words


def test_a_token_is_shown_once_works_and_ends_when_revoked(desk):
    visitor = desk.operator()
    made = visitor.post(f"{PAGE}/tokens", {"name": "reports", "role": "reader"})
    text = made.one('//input[@id="token"]').get("value")
    assert made.one(f'//*[@data-copy="{text}"]') is not None
    assert "no-store" in made.answer.headers["Cache-Control"]
    assert desk.wiring.access.verify_token(text).role == "reader"
    page = visitor.get(PAGE)
    assert text not in page.source
    assert "reports" in page.words
    action = page.one('//form[contains(@action, "/revoke")]').get("action")
    assert "revoked" in visitor.post(action, follow=True).words
    assert desk.wiring.access.verify_token(text) is None
    assert "could be revoked" in visitor.post(action, follow=True).words


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("x", "owner"),
        (" ", "reader"),
        ("x" * 61, "reader"),
        ("a\nb", "reader"),
        ("<b>x</b>", "reader"),
        ("\u202ex", "reader"),
    ],
)
def test_a_token_without_a_plain_name_or_a_role_is_refused(desk, name, role):
    desk.operator().post(f"{PAGE}/tokens", {"name": name, "role": role}, follow=True)
    assert desk.operations.tokens() == []


def test_what_is_older_than_retention_says_is_deleted_and_what_waits_stays(desk):
    keep(desk.store, arrival(1, at=NOW - 400 * DAY, to=()), arrival(2, at=NOW - 400 * DAY), arrival(3, to=()))
    page = desk.operator().post(f"{PAGE}/purge", follow=True)
    assert "Deleted: 1 leads" in page.words
    found = [one["id"] for one in desk.operations.leads(_everything())]
    assert found == [id_of(3), id_of(2)]
    assert "Nothing was old enough" in desk.operator().post(f"{PAGE}/purge", follow=True).words


def _everything():
    from app.store.searching import Filter

    return Filter()


def test_readers_see_the_settings_and_no_button(desk):
    visitor = desk.reader()
    page = visitor.get(PAGE)
    assert (page.status, page.buttons()) == (200, [])
    posts = ["source-url", "check", "tokens", "tokens/x/revoke", "purge"]
    assert [visitor.post(f"{PAGE}/{one}").status for one in posts] == [403] * len(posts)
    assert desk.audited() == []


def test_a_green_check_has_a_stopped_destination_tried_at_once(desk):
    keep(desk.store, arrival(1))
    settle(desk.store, held)
    before = desk.operations.problems()[0]["next_try"]
    desk.operator().post(f"{PAGE}/check", {"destination": "table"})
    assert desk.operations.problems()[0]["next_try"] < before
    assert desk.operations.show(id_of(1))["deliveries"][0]["state"] == State.HELD
