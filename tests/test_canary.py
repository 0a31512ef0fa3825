"""A person goes through every path and every fault, and is then looked for in every byte but the destinations'."""

import json
import re
import socket
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote, urlencode

import pytest
import requests

from tests.parts.canary import FIELDS
from tests.parts.house import DESTINATIONS, PEOPLE, house  # noqa: F401  (a fixture)
from tests.parts.server import KEY, until
from tests.parts.smtp import TEAM
from tests.standins.dataverse_batch import Fault

pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.timeout(900)]
EXPORT = """LeadCreationDateTime,Email,First name,Last name,Company,Phone,Title,Description,Offer,Call to action
{at},{mail},{first},{last},{company},{phone},{title},{note},Contoso Backup,Contact me
"""
JSON = {"Content-Type": "application/json"}
CHANGED = (("overview",), ("problems", "--closed"), ("checks",), ("audit",), ("leads",), ("quarantine",))
EVERYTHING = (*CHANGED, ("problems",), ("audit", "verify"), ("settings",), ("addresses",), ("offers",))
SEEN_BY_READERS = (
    "overview", "problems", "problems/closed", "checks", "destinations", "leads", "quarantine", "audit",
    "audit/verification", "settings", "addresses", "offers",
)  # fmt: skip
AWAY = "cs.example.edu"  # whose people are withheld


def test_a_person_shows_nowhere_but_at_the_destinations(house):  # noqa: F811
    house.server.start()
    house.token = re.search(r"lw_\S+", house.server.command("tokens", "new", "board", "--role", "reader").stdout)[0]
    careless(house)
    first = comes_in(house)
    assert until(lambda: told(house) >= {"crm", "sales", "team-mail"}, seconds=60), house.server.log.read_text()
    scrubbed = {one["destination"] for one in house.asked("problems") if "[…]" in (one["evidence"] or "")}
    assert scrubbed >= {"crm", "sales", "team-mail"}  # they did speak of the person
    dies(house)
    asked_for_everything(house, "--json")
    walked(house)
    shown = house.server.command("show", first).stdout  # kept nowhere: this is what an operator may see
    assert names_in(house, shown.encode()) == set(FIELDS)

    mended(house)
    asked_for_everything(house)
    for name, there in house.destinations().items():
        assert names_in(house, there) == set(FIELDS), name
    house.server.stop()
    known = [place for place, data in house.everywhere_else() if first.encode() in data]
    assert [one for one in known if "pg_wal" in one or "leadwire.db" in one], known  # the search reads what is kept
    assert (house.wire is None) or "the line to PostgreSQL" in known
    assert house.seen() == {}


class Refused(dict):
    """Every lead by its id, each refused with the same."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def __contains__(self, _):
        return True

    def __missing__(self, _):
        return self.fault


def careless(house):  # noqa: F811
    """Have every system repeat the person whose lead it gets, as far as its letters go."""
    said, plain = house.person.said, " ".join(house.person.marks.values())
    house.systems.crm.refused = Refused(Fault(403, "0x80040220", f"missing prvCreateLead privilege for {said}"))
    house.systems.org.leads.trigger = lambda _: ("FIELD_CUSTOM_VALIDATION_EXCEPTION", f"Not {said}", "LastName")
    house.mail.refuse("DATA", f"554 5.2.0 No mail about {plain}", when=is_about_a_lead)


def is_about_a_lead(mail):
    """Tell mails about leads that are handed on: of who is withheld, no system can know anything."""
    return TEAM.encode() in mail and AWAY.encode() not in mail


def told(house):  # noqa: F811
    """Give what people were mailed about."""
    mails = b"\n".join(content for _, recipients, content in house.mail.mails if PEOPLE in recipients)
    return {name for name in DESTINATIONS if f"{name}:".encode() in mails}


def names_in(house, data):  # noqa: F811
    return {one.split(" ")[0] for one in house.person.found(data)}


def comes_in(house):  # noqa: F811
    """Send the person in every way there is; gives the id of the first lead."""
    person, post = house.person, house.server.post
    whole = json.dumps(person.lead())
    broken = whole.replace('"country"', '"country')
    wide = json.dumps(person.lead(offerTitle="Another"), ensure_ascii=False).encode("utf-16")
    first = house.heard("a lead", post(person.lead()))
    assert house.heard("the same lead", post(person.lead())).json()["status"] == "duplicate"
    test = person.lead()
    test["userDetails"]["firstName"] = f"MSFT_TEST {person.values['first']}"
    assert house.heard("a test lead", post(test)).json()["test"]
    away = house.heard("a withheld lead", post(person.lead(email=f"{person.marks['mail']}@{AWAY}")))
    assert away.json()["status"] == "withheld"
    mine = person.values
    form = {"first_name": mine["first"], "last_name": mine["last"], "email": mine["mail"], "phone": mine["phone"]}
    form |= {"company": mine["company"], "title": mine["title"], "description": mine["note"]}
    bodies = {
        "a form": (202, urlencode(form), "application/x-www-form-urlencoded"),
        "UTF-16": (202, wide, "application/json"),
        "JSON that is broken": (400, broken, "application/json"),
        "broken UTF-16": (400, broken.encode("utf-16"), "application/json"),
        "broken and withheld": (400, broken.replace("@contoso.com", f"@{AWAY}"), "application/json"),
        "nobody's": (422, json.dumps({"note": person.said}), "application/json"),
        "XML": (415, f"<lead>{person.said}</lead>", "application/xml"),
        "plain text": (415, person.said, "text/plain"),
        "too large": (413, whole + " " * 70_000 + person.said, "application/json"),
    }
    for name, (status, body, kind) in bodies.items():
        data = body.encode() if isinstance(body, str) else body
        answer = house.heard(name, post(None, data=data, headers={"Content-Type": kind} | spoken(person)))
        assert answer.status_code == status, (name, answer.text)
    strays(house, whole)
    return first.json()["id"]


def spoken(person):
    """Give headers with the person in them."""
    return {
        "User-Agent": person.marks["first"],
        "Referer": f"https://x.example/?{person.marks['mail']}",
        "X-Name": person.marks["last"],
    }


def strays(house, whole):  # noqa: F811
    """Send what isn't taken: with a wrong key, to no address of ours, and a body that breaks off."""
    url, spell = house.server.url, quote(house.person.said, safe="")
    headers = JSON | spoken(house.person)
    for path in (
        f"/leads?code={house.person.marks['note']}",
        f"/leads?code={KEY}&name={spell}",
        f"/{spell}?name={spell}",
    ):
        house.heard("a stray", requests.post(url + path, data=whole, headers=headers, timeout=15))
        house.heard("a look", requests.get(url + path, headers=headers, timeout=15))
    head = (
        f"POST /leads?code={KEY} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", house.server.port), timeout=15) as line:
        line.sendall(head.encode() + whole.encode())


def dies(house):  # noqa: F811
    """Kill -9 one kind of process after another, while leads come in, and start what doesn't by itself."""
    for number, name in enumerate(("receiver", "work", "serve")):
        house.killed(name)
        if name == "serve":
            house.server.process.wait(10)
            assert until(lambda: not house.server.answers("/healthz"), seconds=10)
            house.server.start()
        assert until(lambda: house.server.answers("/readyz"), seconds=30)
        again = house.server.post(house.person.lead(offerTitle=f"Offer {number}"))
        assert house.heard("a lead after a death", again).status_code == 202


def asked_for_everything(house, *way):  # noqa: F811
    """Ask for all that can be seen without asking for a person's values: by command, by API, by what watches."""
    for words in EVERYTHING if way else CHANGED:
        house.command(*words, *way)
    leads = [f"leads/{one['id']}" for one in house.asked("leads", "--email", house.person.values["mail"])]
    assert len(leads) > 5
    url, bearer = f"{house.server.url}/api/v1", {"Authorization": f"Bearer {house.token}"}
    for path in (*SEEN_BY_READERS, *leads):
        assert house.heard(path, requests.get(f"{url}/{path}", headers=bearer, timeout=15)).status_code == 200, path
    lost = house.heard("nothing", requests.get(f"{url}/leads/{quote(house.person.said)}", headers=bearer, timeout=15))
    assert lost.status_code == 404
    search = {"email": house.person.values["mail"]}
    house.heard("a search", requests.post(f"{url}/leads/search", json=search, headers=bearer, timeout=15))
    refused = requests.post(f"{url}/{leads[0]}/reveal", json={"why": house.person.said}, headers=bearer, timeout=15)
    assert house.heard("a reader who reveals", refused).status_code == 403
    for path in ("metrics", "healthz", "readyz"):
        house.heard(path, requests.get(f"{house.server.url}/{path}", timeout=15))


def walked(house):  # noqa: F811
    """Sign in to the console and open every page that another one leads to, but for those made to show a body."""
    with requests.Session() as browser:
        ways, been = ["/console/sign-in"], set()
        while ways:
            been.add(way := ways.pop())
            page = house.heard(way, browser.get(house.server.url + way, timeout=15))
            assert page.status_code == 200, way
            if way == "/console/sign-in":
                token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
                form = {
                    "csrf_token": token,
                    "password": (house.server.folder / "var/console.password").read_text().strip(),
                }
                page = house.heard("signing in", browser.post(house.server.url + way, data=form, timeout=15))
            found = {unescape(one) for one in re.findall(r'href="(/console[^"#]*)', page.text)}
            ways += {one for one in found if not re.search(r"/static/|/edit\b", one)} - been - set(ways)
    pages = {way.split("?")[0] for way in been}
    assert pages >= {f"/console/{name}" for name in ("leads", "quarantine", "problems", "audit", "settings")}
    assert {way.split("/")[2] for way in pages if way.count("/") == 3} >= {"leads", "quarantine"}, pages


def mended(house):  # noqa: F811
    """Do what people do once the systems work, and wait until each has everything."""
    house.command("check")
    house.systems.crm.refused = {}
    house.systems.org.leads.trigger = lambda _: None
    house.mail.replies.clear()
    house.command("check")
    for name in ("crm", "sales", "team-mail"):
        house.command("replay", "--destination", name)
    assert until(lambda: not house.waits(), seconds=60), house.asked("leads")


def test_an_erased_person_is_left_at_no_destination_either(house):  # noqa: F811
    person = house.person
    house.systems.crm.privileges.add("prvDeleteLead")
    house.server.start()
    first = house.heard("a lead", house.server.post(person.lead())).json()["id"]
    export = house.server.folder.parent / "export.csv"  # the person's own copy of it, not Leadwire's
    export.write_text(EXPORT.format(at=(datetime.now(UTC) - timedelta(days=9)).isoformat(), **person.values))
    house.command("reconcile", str(export), "--ingest")
    whole = json.dumps(person.lead(offerTitle="Another"))
    for body in (whole[:-1], whole.replace('"country"', '"country')):
        answer = house.server.post(None, data=body.encode(), headers=JSON)
        assert house.heard("a broken body", answer).status_code == 400
    repaired, kept = (one["id"] for one in house.asked("quarantine"))
    assert names_in(house, house.server.command("quarantine", kept).stdout.encode()) == set(FIELDS)
    house.command("repair", repaired, "--file", "-", "--release", text=whole)
    assert len(house.asked("leads", "--state", "accepted")) == 3
    assert until(lambda: not house.waits(), seconds=60), house.asked("leads")
    for name, there in house.destinations().items():
        assert names_in(house, there) == set(FIELDS), name

    certificate = house.server.folder / "certificate.json"
    told = house.command(
        "erase", "--email", person.values["mail"], "--destinations", "--certificate", str(certificate), "--yes"
    )
    assert len(json.loads(certificate.read_text())["erased"]) == 4, told
    house.command("show", first)
    house.command("quarantine", kept)
    house.server.stop()
    assert {name: person.found(there) for name, there in house.destinations().items() if person.found(there)} == {}
    assert house.seen() == {}
