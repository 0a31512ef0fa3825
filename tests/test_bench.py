"""The bench is held to itself, without timing anything: what it asks, keeps, draws and sends."""

import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from app.lead import Envelope, Lead, parse
from bench import charts, page, results
from bench.__main__ import answer
from bench.load import LoadError, post
from bench.questions import MODULES, ON_DEMAND, module
from bench.rows import Figure, Found, MissingError, Question, line
from tests.parts import unavailable

PERFORMANCE = (results.ROOT / "docs/performance.md").read_text()
PROMISED = {
    "accept": "≥ 0.6",
    "node-red": "≥ 1.5",
    "p99": "≤ 2",
    "slowest": "≤ 250 ms",
    "disk": "≥ 0.7",
    "postgres": "≥ 0.7",
    "lanes": "≤ 20 ms",
    "lanes-p99": "≤ 60 ms",
    "backlog": "≥ 0.6",
    "growth-accept": "≥ 0.9",
    "growth-claim": "≥ 0.9",
    "growth-overview": "≤ 2",
    "growth-search": "≤ 2",
    "growth-pages": "≤ 2",
    "memory": "≤ 250 MB",
    "start": "≤ 2.5",
    "size": "≤ 2,048 bytes",
    "soak-memory": "≤ 250 MB",
    "soak-slowest": "≤ 250 ms",
    "soak-flat": "≤ 1.1",
}
NO_COMPILER = "no compiler"
RATIO = Question(asks="Leads & more", reference="an empty route", at_least=0.6)
FOUND = Found(
    key="accept", figure=Figure(0.61, 0.5, 0.7), bars={"Leadwire": Figure(61, 50, 70), "<b>": Figure(100, 100, 100)}
)


def asked():
    """Every question, by its key."""
    return {key: question for name in (*MODULES, *ON_DEMAND) for key, question in module(name).QUESTIONS.items()}


def test_every_promise_is_asked_about():
    reach = {key: question.reach for key, question in asked().items()}
    assert {key: reach.get(key) for key in PROMISED} == PROMISED


def test_no_two_modules_ask_under_one_key():
    keys = [key for name in (*MODULES, *ON_DEMAND) for key in module(name).QUESTIONS]
    assert len(keys) == len(set(keys))


def test_a_figure_is_the_median_of_its_rounds_with_their_range():
    assert Figure.paired([6, 5, 9], [10, 10, 10]) == Figure(0.6, 0.5, 0.9)
    assert str(Figure(0.6, 0.5, 0.9)) == "0.6 (0.5 to 0.9)"
    assert str(Figure.of([4120.4])) == "4,120"


@pytest.mark.parametrize(("median", "reached"), [(0.599, False), (0.6, True)])
def test_the_median_decides_whether_a_promise_is_kept(median, reached):
    assert RATIO.reached(Figure(median, 0.1, 0.9)) is reached
    assert Question(asks="Time", at_most=0.5999).reached(Figure(median, 0.1, 0.9)) is not reached
    assert Question(asks="Whatever").reached(Figure(median, 0.1, 0.9)) is None


def told_by(measure):
    """What a module of three questions tells, and whether it worked."""
    told = {}
    three = SimpleNamespace(QUESTIONS=dict.fromkeys(("accept", "p99", "disk"), RATIO), measure=measure)
    worked = answer(three, lambda question, found: told.update({found.key: line(question, found)[1]}))
    return worked, told


def test_a_missing_part_is_told_at_every_question_that_needs_it_and_is_no_error():
    def measure():
        yield FOUND
        raise MissingError(NO_COMPILER)

    worked, told = told_by(measure)
    assert worked
    assert told == {
        "accept": "0.61 (0.5 to 0.7)",
        "p99": f"not measured: {NO_COMPILER}",
        "disk": f"not measured: {NO_COMPILER}",
    }


def test_what_fails_is_told_and_is_an_error(capsys):
    def measure():
        yield FOUND
        raise LoadError

    worked, told = told_by(measure)
    assert not worked
    assert "LoadError" in capsys.readouterr().err
    assert told["disk"].startswith("not measured: it failed")


def test_a_question_that_its_module_forgot_is_told():
    _, told = told_by(lambda: iter([FOUND]))
    assert told["p99"].startswith("not measured")


def test_an_answer_replaces_the_one_before_and_leaves_the_others(tmp_path):
    file = tmp_path / "results.json"
    results.keep(RATIO, FOUND, file=file)
    results.keep(RATIO, Found(key="disk", figure=None, why=NO_COMPILER), file=file)
    disk = results.read(file)["disk"]
    results.keep(RATIO, Found(key="accept", figure=Figure(0.8, 0.8, 0.8)), file=file)
    kept = json.loads(file.read_text())
    assert kept["accept"]["figure"] == [0.8, 0.8, 0.8]
    assert kept["accept"]["reached"] is True
    assert kept["disk"] == disk
    assert (disk["figure"], disk["reached"], disk["not_measured"]) == (None, None, NO_COMPILER)


def test_a_chart_shows_each_bar_and_what_was_promised(tmp_path):
    charts.draw(RATIO, FOUND, folder=tmp_path)
    picture = ET.fromstring((tmp_path / "accept.svg").read_text())  # noqa: S314  (our own)
    texts = ["".join(one.itertext()) for one in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "Leads & more"
    assert "0.61 (0.5 to 0.7) to an empty route" in texts[1]
    assert "≥ 0.6" in texts[1]
    assert {"Leadwire", "<b>"} <= set(texts)


def test_what_has_no_figure_is_not_drawn(tmp_path):
    charts.draw(RATIO, Found(key="accept", figure=None, why="no wrk"), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_page_shows_every_chart_and_the_latest_figures(tmp_path):
    for chart in charts.FOLDER.glob("*.svg"):
        assert f"images/bench/{chart.name})" in PERFORMANCE, chart.name
    copy = tmp_path / "performance.md"
    copy.write_text(PERFORMANCE)
    page.renew(copy)
    assert copy.read_text() == PERFORMANCE
    assert page.BEGIN in PERFORMANCE


def test_every_answer_that_is_kept_has_its_question():
    assert set(results.read()) <= set(asked())


@contextmanager
def taking(status):
    """A server that keeps the bodies it is sent and answers all alike."""
    bodies = []

    class Taker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((self.headers["Content-Type"], body))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/leads", bodies
        server.shutdown()


@pytest.fixture
def wrk():
    """The sender."""
    if shutil.which("wrk") is None:
        unavailable("wrk", "install Debian's wrk")


@pytest.mark.usefixtures("wrk")
def test_what_is_sent_are_leads_unlike_each_other_also_from_round_to_round():
    with taking(202) as (url, bodies):
        loads = [post(url, seconds=1, connections=4) for _ in range(2)]
    assert sum(load.answers for load in loads) <= len(bodies)
    assert loads[0].p50 <= loads[0].p99 <= loads[0].max
    leads = [parse(Envelope(body=body, content_type=content_type)) for content_type, body in bodies]
    assert all(isinstance(lead, Lead) for lead in leads)
    assert len({lead.email for lead in leads}) == len(leads)
    assert (leads[0].first_name, leads[0].offer_title, leads[0].country) == ("Some", "Test Microsoft", "US")


@pytest.mark.usefixtures("wrk")
def test_answers_that_are_no_success_fail_the_measurement():
    with taking(503) as (url, _), pytest.raises(LoadError):
        post(url, seconds=1, connections=2)
