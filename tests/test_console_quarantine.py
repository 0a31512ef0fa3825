"""The console's quarantine: bodies shown with their error marked, mended, previewed, released."""

import pytest

from app.web.console.quarantine import EDITABLE, WIDE, as_text, lines
from tests.parts import desk as console
from tests.parts.arrivals import id_of, keep, unreadable

desk = console.desk  # fixtures are found by their names

GOOD = """{"UserDetails": {"FirstName": "Some", "LastName": "One", "Email": "someone@contoso.com"},
"OfferTitle": "Contoso"}"""
BAD = GOOD.replace('"LastName": "One",', '"LastName": "One" ')


def quarantine(desk, body=BAD):
    """Send a body that is no lead; gives the path of its page and its id."""
    id_ = desk.send(body.encode() if isinstance(body, str) else body)["quarantine_id"]
    return f"/console/quarantine/{id_}", id_


def status(desk, id_):
    return desk.operations.show(id_)["status"]


def test_what_waits_is_listed_with_the_reason_and_the_place(desk):
    path, id_ = quarantine(desk)
    quarantine(desk, '{"a": 1, "Email": "x@mit.edu" ')
    page = desk.operator().get("/console/quarantine")
    withheld, ordinary = page.read("//tbody/tr")
    assert [part for part in (id_, "marketplace", "not valid JSON", "line 1, column") if part not in ordinary] == []
    assert ("not kept" in withheld, "not kept" in ordinary) == (True, False)
    assert "someone@contoso.com" not in page.source
    assert page.all(f'//a[@href="{path}"]')


def test_the_list_has_pages(desk):
    for number in range(53):
        quarantine(desk, f"{{{number}")
        desk.later(seconds=1)
    visitor = desk.operator()
    first = visitor.get("/console/quarantine")
    second = visitor.get(first.one('//a[@rel="next"]').get("href"))
    assert [len(page.read("//tbody/tr")) for page in (first, second)] == [50, 3]
    assert second.one('//a[text()="Back to newest"]').get("href") == "/console/quarantine"
    assert "53" in first.words


def test_an_empty_quarantine_says_so(desk):
    assert "The quarantine is empty" in desk.operator().get("/console/quarantine").words


def test_a_body_is_shown_to_who_asks_and_that_is_recorded(desk):
    path, id_ = quarantine(desk)
    visitor = desk.operator()
    assert "someone@contoso.com" not in visitor.get(path).source
    assert desk.audited() == []
    shown = visitor.post(path)
    assert "someone@contoso.com" in shown.source
    assert "no-store" in shown.answer.headers["Cache-Control"]
    assert [row[:2] for row in desk.audited("reveal")] == [("reveal", f"{id_} body")]


def test_the_error_is_marked_at_its_line_and_column(desk):
    path, _ = quarantine(desk, '{"UserDetails": 1,\n"OfferTitle": Contoso}')
    shown = desk.operator().post(path)
    assert shown.read('//tr[@class="lw-error-line"]/td') == ["2", '"OfferTitle": Contoso}']
    assert shown.one("//mark/preceding-sibling::node()").strip() == '"OfferTitle":'
    assert shown.one("//mark").text == "C"
    assert "line 2, column 15" in shown.words.casefold()


def test_a_preview_shows_the_lead_and_changes_nothing(desk):
    path, id_ = quarantine(desk)
    visitor = desk.operator()
    page = visitor.post(f"{path}/edit", {"body": GOOD, "act": "preview", "shown": "x"})
    cells = dict(zip(page.read("//main//table//th"), page.read("//main//table//td"), strict=True))
    assert {name: cells[name] for name in ("first name", "last name", "email", "offer title")} == {
        "first name": "Some",
        "last name": "One",
        "email": "someone@contoso.com",
        "offer title": "Contoso",
    }
    assert page.one("//textarea").text.strip() == GOOD
    assert (status(desk, id_), desk.audited()) == ("quarantined", [])
    assert "not valid JSON" in visitor.get(path).words


def test_a_preview_of_what_is_still_no_lead_marks_the_new_place_and_keeps_the_text(desk):
    path, _ = quarantine(desk)
    text = '{"UserDetails": 1,\n\n "Email" "x"}'
    page = desk.operator().post(f"{path}/edit", {"body": text.replace("\n", "\r\n"), "act": "preview", "shown": "x"})
    assert page.read('//tr[@class="lw-error-line"]/td')[0] == "3"
    assert page.one("//textarea").text.removeprefix("\n").replace("\r\n", "\n") == text


def test_a_saved_repair_waits_for_its_release(desk):
    path, id_ = quarantine(desk)
    visitor = desk.operator()
    page = visitor.post(f"{path}/edit", {"body": GOOD, "act": "save", "shown": "x", "why": "a comma"}, follow=True)
    assert "can be released" in page.words
    assert status(desk, id_) == "quarantined"
    released = visitor.post(f"{path}/release", follow=True)
    assert "Released" in released.words
    found = desk.operations.show(id_)
    assert (found["status"], [one["destination"] for one in found["deliveries"]]) == ("accepted", ["table"])
    assert [row[:2] for row in desk.audited()] == [("release", id_), ("repair", id_)]
    assert desk.operations.audit(action="repair")[0]["why"] == "a comma"


def test_a_repair_that_is_no_lead_yet_is_saved_and_stays_in_the_editor(desk):
    path, id_ = quarantine(desk)
    page = desk.operator().post(f"{path}/edit", {"body": '{"still": ', "act": "save", "shown": "x"})
    assert "Your text is saved" in page.words
    assert page.one("//textarea").text.strip() == '{"still":'
    assert desk.operations.quarantined()[0]["length"] == len('{"still": ')
    assert status(desk, id_) == "quarantined"


def test_release_mends_and_releases_in_one_step_or_keeps_the_text(desk):
    path, id_ = quarantine(desk)
    visitor = desk.operator()
    page = visitor.post(f"{path}/edit", {"body": '{"no": ', "act": "release", "shown": "x"})
    assert ("Nothing was changed" in page.words, page.one("//textarea").text.strip()) == (True, '{"no":')
    assert desk.operations.quarantined()[0]["length"] == len(BAD)
    done = visitor.post(f"{path}/edit", {"body": GOOD, "act": "release", "shown": "x"})
    assert done.path == f"/console/leads/{id_}"
    assert status(desk, id_) == "accepted"
    assert visitor.get(path).path == f"/console/leads/{id_}"


def test_an_untouched_body_is_read_with_its_own_bytes(desk):
    body = '{"UserDetails": {"FirstName": "José", "Email": "someone@contoso.com"}'.encode("latin-1")
    path, _ = quarantine(desk, body)
    visitor = desk.operator()
    shown = visitor.post(path)
    assert "not valid UTF-8" in shown.words
    assert "Jos\ufffd" in shown.one("//textarea").text
    untouched = {
        "body": shown.one("//textarea").text.removeprefix("\n"),
        "shown": shown.one('//input[@name="shown"]').get("value"),
    }
    page = visitor.post(f"{path}/edit", {**untouched, "act": "preview"})
    assert "wrongly encoded" in page.words


def test_a_refusal_keeps_the_edited_text(desk):
    path, _ = quarantine(desk)
    text = GOOD.replace("contoso.com", "mit.edu")
    page = desk.operator().post(f"{path}/edit", {"body": text, "act": "save", "shown": "x"})
    assert "withheld domain" in page.words
    assert page.one("//textarea").text.strip() == text


def test_a_withheld_body_can_only_be_discarded(desk):
    path, id_ = quarantine(desk, '{"Email": "x@mit.edu" ')
    visitor = desk.operator()
    page = visitor.get(path)
    assert "was not kept" in page.words
    assert [name for name in page.buttons() if "Show" in name] == []
    gone = visitor.post(f"{path}/discard", {"why": "ours"}, follow=True)
    assert "The quarantine is empty" in gone.words
    assert status(desk, id_) == "discarded"


def test_readers_see_why_and_no_body(desk):
    path, _ = quarantine(desk)
    visitor = desk.reader()
    page = visitor.get(path)
    assert "not valid JSON" in page.words
    assert page.buttons() == []
    answers = [visitor.post(f"{path}{act}") for act in ("", "/edit", "/release", "/discard")]
    assert [one.status for one in answers] == [403] * 4
    assert not any("someone@contoso.com" in one.source for one in answers)
    assert desk.audited() == []


def test_a_hostile_body_is_shown_and_obeyed_in_nothing(desk):
    path, _ = quarantine(desk, "</textarea><script>alert(1)</script>\u202e\x07{")
    shown = desk.operator().post(path)
    assert "<script>alert" not in shown.source
    assert "</textarea><script>alert(1)</script>" in shown.one("//textarea").text
    assert "\u202e" not in shown.one('//*[starts-with(@class, "lw-body")]').text_content()
    assert "U+0007, U+202E" in shown.words


def test_a_body_too_large_for_a_form_is_not_edited_here(desk):
    small, large = ('{"a": "' + "ä" * number for number in (EDITABLE // 2 - 10, EDITABLE // 2))
    keep(desk.store, unreadable(1, body=small.encode()), unreadable(2, body=large.encode()))
    visitor, path = desk.operator(), "/console/quarantine/{}".format
    assert visitor.post(path(id_of(1))).all("//textarea")
    edited = visitor.post(f"{path(id_of(1))}/edit", {"body": small, "act": "preview", "shown": "x"})
    assert (edited.status, edited.one("//textarea").text.strip()) == (200, small)
    page = visitor.post(path(id_of(2)))
    assert (page.all("//textarea"), "too many to edit here" in page.words) == ([], True)


def test_nothing_under_an_id_is_a_page_that_says_so(desk):
    assert desk.operator().get("/console/quarantine/00000001-0000-7000-8000-000000000000").status == 404


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', ('{"a": 1}', "UTF-8", True)),
        ("\ufeffä".encode(), ("ä", "UTF-8", True)),
        ("{ä".encode("utf-16"), ("{ä", "UTF-16", True)),
        (b"{\xff", ("{\ufffd", "UTF-8", False)),
    ],
)
def test_bytes_are_read_as_what_they_are(body, expected):
    read = as_text(body)
    assert (read.text, read.encoding, read.exact) == expected


def test_a_long_line_is_cut_around_the_error_and_many_lines_too():
    text = "\n".join(["one"] * 5000 + ["a" * 9000 + "!" + "b" * 9000] + ["two"] * 5000)
    shown = lines(text, [{"line": 5001, "column": 9001}])
    marked = next(line for line in shown if line.at is not None)
    assert (marked.number, marked.at, len(marked.text), len(marked.after)) == (5001, "!", WIDE + 1, WIDE + 1)
    assert len(shown) == 401
