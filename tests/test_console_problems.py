"""The console's remediation log: the steps to tick off, the evidence, the buttons, and what is over."""

import sqlalchemy as sa

from app.store.desk import problems
from app.store.problems import Evidence, ProblemLog
from app.store.tables import deliveries
from tests.parts import desk as console
from tests.parts.arrivals import MINUTE, NOW, arrival, dead, failed, held, keep, rows, settle

desk = console.desk  # fixtures are found by their names

CODE = "azure_table.authentication-failed"


def trouble(desk, *, how=held, leads=2):
    """Leads wait for a destination that refused one; gives the problem's id."""
    keep(desk.store, *(arrival(number) for number in range(1, leads + 1)))
    settle(desk.store, how, limit=1)
    return desk.operations.problems()[0]["id"]


def note(desk, **evidence):
    """What the system said of the open problem."""
    with desk.store.write() as connection:
        ProblemLog(desk.store).noted(connection, "table", Evidence(code=CODE, **evidence), now=NOW)


def close(desk, *, at=NOW):
    with desk.store.write() as connection:
        connection.execute(problems.update().where(problems.c.closed_at.is_(None)).values(closed_at=at))


def test_no_problem_is_said_calmly(desk):
    assert "No problems" in desk.operator().get("/console/problems").words


def test_a_problem_shows_cause_steps_who_acts_and_how_many_wait(desk):
    trouble(desk)
    page = desk.operator().get("/console/problems")
    entry = desk.wiring.catalogue.get(CODE)
    assert len(page.all("//ol[contains(@class, 'lw-steps')]/li")) == len(entry.remedy)
    for words in (entry.title, CODE, "2 leads wait", f"who acts: {entry.owner}"):
        assert words in page.words


def test_evidence_is_shown_as_text(desk):
    trouble(desk)
    note(desk, status=403, raw_code="AuthenticationFailed", text="<script>alert(1)</script> \u202esigned wrongly")
    page = desk.operator().get("/console/problems")
    shown = page.one("//div[contains(@class, 'lw-evidence')]").text_content()
    assert "status 403" in shown
    assert "<script>alert(1)</script>" in shown
    assert "\u202e" not in page.source


def test_a_box_ticked_by_the_script_is_kept_and_can_be_undone(desk):
    id_ = trouble(desk)
    visitor = desk.operator()
    visitor.post(f"/console/problems/{id_}/steps", {"step": "2", "done": "yes"})
    assert desk.operations.problems()[0]["done"] == [2]
    visitor.post(f"/console/problems/{id_}/steps", {"step": "2", "done": "no"})
    assert desk.operations.problems()[0]["done"] == []


def test_without_the_script_the_whole_list_is_saved_at_once(desk):
    id_ = trouble(desk)
    visitor = desk.operator()
    visitor.post(f"/console/problems/{id_}/steps", {"step": ["1", "3"]})
    assert desk.operations.problems()[0]["done"] == [1, 3]
    page = visitor.post(f"/console/problems/{id_}/steps", {"step": ["3"]}, follow=True)
    assert desk.operations.problems()[0]["done"] == [3]
    assert [box.get("value") for box in page.all("//input[@name='step'][@checked]")] == ["3"]


def test_a_step_that_does_not_exist_is_refused_in_words(desk):
    id_ = trouble(desk)
    page = desk.operator().post(f"/console/problems/{id_}/steps", {"step": "99", "done": "yes"}, follow=True)
    assert "99 is none of them" in page.words


def test_somebody_takes_care_of_it_with_a_note(desk):
    id_ = trouble(desk)
    page = desk.operator().post(f"/console/problems/{id_}/acknowledge", {"note": "key on its way <b>"}, follow=True)
    assert "Taken care of by operator" in page.words
    assert "key on its way <b>" in page.words


def test_a_problem_that_is_over_meanwhile_is_said(desk):
    id_ = trouble(desk)
    close(desk)
    page = desk.operator().post(f"/console/problems/{id_}/acknowledge", {"note": "x"}, follow=True)
    assert "may have been mended meanwhile" in page.words


def test_test_connection_tries_for_real_and_has_what_waits_tried(desk):
    trouble(desk)
    page = desk.operator().post("/console/problems/check", {"destination": "table"}, follow=True)
    assert "table: connected" in page.words
    assert desk.operations.problems()[0]["next_try"] == "2027-01-15T08:00:00.000Z"
    assert desk.operations.checks()["table"]["ok"]


def test_test_connection_says_what_is_wrong_and_the_result_stays(desk):
    trouble(desk)
    (desk.folder / "leads.jsonl").mkdir()
    page = desk.operator().post("/console/problems/check", {"destination": "table"}, follow=True)
    assert "names a folder" in page.words
    assert desk.operations.checks()["table"]["code"] == "file.is-a-folder"


def test_an_unknown_destination_is_refused_in_words(desk):
    page = desk.operator().post("/console/problems/check", {"destination": "<nope>"}, follow=True)
    assert "No destination '<nope>' is configured" in page.words


def test_replay_has_dead_leads_delivered_again(desk):
    trouble(desk, how=dead, leads=1)
    code = desk.operations.problems()[0]["code"]
    page = desk.operator().post("/console/problems/replay", {"destination": "table", "code": code}, follow=True)
    assert "1 delivery is tried again at table" in page.words
    assert [row["state"] for row in rows(desk.store, deliveries)] == ["due"]


def test_a_problem_of_leadwire_itself_has_no_buttons_of_a_destination(desk):
    with desk.store.write() as connection:
        ProblemLog(desk.store).noted(connection, "", Evidence(code="leadwire.no-leads"), now=NOW)
    page = desk.operator().get("/console/problems")
    assert "Leadwire: " in page.words
    assert "Test connection" not in page.buttons()


def test_readers_see_everything_and_get_no_buttons(desk):
    id_ = trouble(desk)
    page = desk.reader().get("/console/problems")
    assert CODE in page.words
    assert page.all("//main//form") == []
    for path in ("check", "replay", f"{id_}/steps", f"{id_}/acknowledge"):
        assert desk.reader().post(f"/console/problems/{path}", {"destination": "table"}).status == 403


def test_what_is_over_is_history_a_page_at_a_time(desk):
    log = ProblemLog(desk.store)
    for number in range(53):
        with desk.store.write() as connection:
            log.noted(connection, "table", Evidence(code=f"file.{number}", raw_code="EIO"), now=NOW)
        close(desk, at=NOW + number * MINUTE)
    visitor = desk.operator()
    first = visitor.get("/console/problems/history")
    second = visitor.get(first.one('//a[@rel="next"]').get("href"))
    codes = [one for page in (first, second) for one in page.read("//tbody//code")]
    assert codes == [f"file.{number}" for number in range(52, -1, -1)]


def test_the_row_of_a_cause_is_opened_once_however_often_it_fails(desk):
    trouble(desk)
    for number in range(5):
        note(desk, text=f"try {number}")
    with desk.store.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(problems)).scalar() == 1
    assert desk.operations.problems()[0]["evidence"] == "try 4"


def test_the_menu_counts_every_kind_of_problem_once(desk):
    """Parked, refused, tried again, parked but removed from the configuration, and Leadwire's own."""

    def counted():
        assert desk.operations.problem_count() == len(desk.operations.problems())
        return desk.operations.problem_count()

    assert counted() == 0
    keep(desk.store, *(arrival(number, to=("table", "crm", "gone")) for number in range(1, 4)))
    assert counted() == 1  # `gone` is not configured
    settle(desk.store, dead, destination="crm", limit=1)
    settle(desk.store, lambda claim: failed(claim, due=NOW + 5), destination="crm", limit=1)
    settle(desk.store, held, limit=1)
    assert counted() == 4
    settle(desk.store, held, destination="gone", limit=1)
    assert counted() == 4
    with desk.store.write() as connection:
        ProblemLog(desk.store).noted(connection, "", Evidence(code="leadwire.no-worker"), now=NOW)
        ProblemLog(desk.store).noted(connection, "table", Evidence(code=CODE), now=NOW)
    assert counted() == 5
    number = desk.operator().get("/console/problems").read("//nav//a[contains(@href, '/console/problems')]")
    assert any("5" in one for one in number), number
