"""Workers die while mails go out: each lead is mailed, and a death costs one mail twice at most."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter

from tests.faults.ledger import in_file
from tests.faults.scene import Elsewhere, Report, Scene, Wanted
from tests.faults.system import FILE
from tests.parts.smtp import SENDER, TEAM, MailServer, controller

CONFIG = f"""{FILE}
[destinations.team-mail]
type = "email"
transport = "smtp"
security = "none"
host = "127.0.0.1"
port = {{port}}
from = "{SENDER}"
to = ["{TEAM}"]
"""
KILL = "kill -9 of a worker that mails"
TWICE = "mails that went out twice"
MAIL_SECONDS = 0.02


def run(wanted: Wanted) -> Report:
    """Kill the worker again and again; what is sent are test leads, which are mailed one by one however many come."""
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the mail server's own remarks are not part of it
    mail = MailServer(sign_in=False)
    smtp = controller(mail, tls=None, security="none")
    mail.replies["DATA"] = lambda _: time.sleep(MAIL_SECONDS)  # so that a worker mostly dies between two mails of many
    smtp.start()
    try:
        with Scene("mail", wanted, more=CONFIG.format(port=smtp.port)) as scene:
            return _mailed(scene, mail)
    finally:
        smtp.stop()


def _mailed(scene: Scene, mail: MailServer) -> Report:
    scene.same_once = False  # a test lead is never taken for another
    scene.send(connections=4, pause=0.1, tests=True)
    for _ in scene.rounds():
        scene.wait(scene.dice.uniform(0.8, 2.5))
        for pid in scene.system.roles().get("worker", []):
            scene.system.kill("worker", pid)
            scene.faults[KILL] += 1
    scene.others["team-mail"] = Elsewhere(read=lambda: _once(scene, mail))
    return scene.report()


def _once(scene: Scene, mail: MailServer) -> list[tuple[str, int]]:
    """Give every mail's delivery and number once; more that came twice than workers that died are a fault."""
    numbers = _numbers(scene)
    shown = scene.person.found(b"\n".join(content for _, _, content in mail.mails))
    if shown:
        scene.book.wrong.append(f"mails show {', '.join(shown)}")
    mails = Counter(re.search(rb"(?mi)^message-id:\s*<([^@>]+)@", content)[1].decode() for _, _, content in mail.mails)
    scene.effects[TWICE] = mails.total() - len(mails)
    if scene.effects[TWICE] > scene.faults[KILL]:
        scene.book.wrong.append(f"{scene.effects[TWICE]} mails too many, and {scene.faults[KILL]} deaths")
    return [(name, numbers.get(name, 0)) for name in mails]


def _numbers(scene: Scene) -> dict[str, int]:
    """Give the lead's number by its delivery to the mailbox."""
    filed = in_file(scene.system.leads)
    known = dict(filed)
    return {name: known[id_] for name, id_ in Elsewhere.names(filed, "team-mail").items()}
