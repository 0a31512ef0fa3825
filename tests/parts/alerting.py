"""What the tests of alerts need: a real webhook to tell, and the watch of a process that may be any of several."""

import json
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import sqlalchemy as sa

from app.alerts import Watch, make_channels
from app.catalogue import Catalogue, shipped_folder
from app.settings import Secret
from app.settings.model import Alerts
from app.store import open_store
from app.store.desk import problems
from app.store.tables import from_ms, workers
from tests.parts.arrivals import HOUR, MINUTE, NOW

CATALOGUE = Catalogue.load(shipped_folder())
LINK = "https://leads.contoso.example/console/problems"
KINDS = {"table": "azure_table", "crm": "dynamics", "team-mail": "email"}


class Hook:
    """A webhook that keeps what it is sent; `answer(number)` gives status and headers of the numbered request."""

    def __init__(self):
        self.got = []  # bodies
        self.keys = []
        self.paths = []
        self.answer = lambda _: (200, {})
        self.hold = Event()
        self.hold.set()
        self.url = ""

    def kinds(self):
        return [one["kind"] for one in self.got]

    def told(self):
        """Kind and what it is about, in the order it came."""
        return [(one["kind"], one["destination"], one["code"]) for one in self.got]


@contextmanager
def listening_hook():
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.got.append(json.loads(body))
            hook.keys.append(self.headers["Idempotency-Key"])
            hook.paths.append(self.path)
            hook.hold.wait(30)
            status, headers = hook.answer(len(hook.got))
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_GET = do_POST  # noqa: N815  (a redirect would be followed so)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_address[1]}/services/a-secret-path"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hook
    finally:
        hook.hold.set()
        server.shutdown()
        thread.join()
        server.server_close()


def alert_settings(hook=None, **more):
    """The defaults, with a webhook that takes everything as JSON."""
    given = {
        "via": None, "to": (), "webhook": Secret(hook.url, reference="env:HOOK") if hook else None,
        "webhook_format": "json", "after": timedelta(minutes=5),
        "escalate": tuple(timedelta(hours=hours) for hours in (1, 4, 24)),
        "quiet_days": 7, "oldest_minutes": 60, "worker_minutes": 5,
    }  # fmt: skip
    return Alerts(**{**given, **more})


class Clock:
    """Milliseconds that stand until a test moves them."""

    def __init__(self, at=NOW):
        self.at = at

    def __call__(self):
        return from_ms(self.at)

    def pass_(self, *, minutes=0, hours=0, days=0):
        self.at += round(minutes * MINUTE + hours * HOUR + days * 24 * HOUR)


def no_mail(name):
    raise AssertionError(name)


def watch_of(store, settings, clock, *, holder="host-1", beside_worker=True, kinds=KINDS, email=no_mail):
    """The watch of one process."""
    return Watch(
        holder=holder, beside_worker=beside_worker, store=store, settings=settings, kinds=kinds, catalogue=CATALOGUE,
        link=LINK, make_channels=lambda: make_channels(settings, email=email, now=clock), now=clock,
    )  # fmt: skip


def problem_rows(store, **where):
    """Every problem there was, in the order they began."""
    with store.read() as connection:
        found = connection.execute(sa.select(problems).order_by(problems.c.opened_at, problems.c.id)).all()
    return [row for row in found if all(getattr(row, name) == value for name, value in where.items())]


def beat(store, at, name="host-1"):
    """A worker's sign of life."""
    with store.write() as connection:
        row = store.insert(workers).values(name=name, started_at=at, seen_at=at)
        connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": at}))


def look_from_elsewhere(url, hook_url, at, _):
    """In a process of its own: look once."""
    store = open_store(url)
    settings = alert_settings(webhook=Secret(hook_url, reference="env:HOOK"))
    watch_of(store, settings, Clock(at), holder="host-1").look()
    store.close()
