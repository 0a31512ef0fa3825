"""Several connections that post leads without a pause, and write every answer into the book."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from typing import TYPE_CHECKING

from tests.parts.server import KEY

if TYPE_CHECKING:
    from tests.faults.book import Book
    from tests.parts.canary import Canary

PATIENCE = 20.0  # seconds for an answer
AGAIN = 0.5  # share of the leads without an answer that are sent once more
MOST_TRIES = 40
EVERYWHERE = 10  # one lead of so many is for everybody, where routes say so


def body(number: int, person: Canary, *, test: bool = False) -> bytes:
    """Give a lead of the person unlike every other, as the marketplace sends it; its number is in its name."""
    offer = "backup" if number % EVERYWHERE else "everywhere"
    known = person.values
    details = {
        "FirstName": f"MSFT_TEST {known['first']}" if test else known["first"],
        "LastName": f"{known['last']} {number}",
        "Email": f"{number}{known['mail']}",
        "Phone": known["phone"],
        "Country": "US",
        "Company": known["company"],
        "Title": known["title"],
    }
    document = {
        "UserDetails": details,
        "LeadSource": f"AzureMarketplace-INS|contoso.{offer}",
        "OfferTitle": offer,
        "Description": known["note"],
    }
    return json.dumps(document).encode()


def number_of(last_name: str) -> int:
    """Give the number back from a lead's last name."""
    return int(last_name.rpartition(" ")[2])


class Senders:
    """Threads with a connection each."""

    def __init__(
        self, book: Book, port: int, person: Canary, *, connections: int, dice: random.Random, pause: float = 0.0
    ) -> None:
        """Make them; `person` is whose leads they send, `pause` in seconds between two leads of a connection."""
        self.tests = False  # send test leads, which are never taken for the same
        self._book = book
        self._port = port
        self._person = person
        self._pause = pause
        self._done = threading.Event()
        seeds = [dice.random() for _ in range(connections)]
        self._threads = [threading.Thread(target=self._send, args=(random.Random(seed),)) for seed in seeds]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the answers that are under way."""
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _send(self, dice: random.Random) -> None:
        line = _Line(self._port)
        while not self._done.is_set():
            try:
                self._post(line, self._book.next(), dice)
            except Exception as exc:  # noqa: BLE001  (a sender that ends unseen would make the run look good)
                self._book.wrong.append(f"a sender failed: {exc!r}")
                break
            if self._pause:
                self._done.wait(self._pause)
        line.close()

    def _post(self, line: _Line, number: int, dice: random.Random) -> None:
        """Send a lead until it is answered, or given up as the marketplace would."""
        message = body(number, self._person, test=self.tests)
        for _ in range(MOST_TRIES):
            try:
                status, answer = line.post(message)
            except ConnectionRefusedError:  # never sent
                if self._done.wait(0.05):
                    return
                continue
            except (OSError, ValueError):
                line.close()
                self._book.unanswered(number)
                if self.tests or dice.random() > AGAIN:
                    return
                time.sleep(0.05)
                continue
            if status == 202:
                self._book.taken(number, answer["id"], answer["status"])
                return
            self._book.refused(status, answer.get("title"))
            if status == 503:
                self._book.unsure.add(number)  # a commit whose answer was lost is told so too
            if self._done.wait(0.1):
                return


class _Line:
    """One connection that is kept open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._got = b""
        self._head = (
            f"POST /leads?code={KEY} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n".encode()
        )

    def post(self, message: bytes) -> tuple[int, dict[str, str]]:
        """Give status and document of the answer.

        Raises:
            ConnectionRefusedError: nothing was sent.
            OSError, ValueError: it broke; whether it was taken is not known.

        """
        if self._socket is None:
            try:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            except OSError as exc:
                raise ConnectionRefusedError from exc
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (self._head, len(message), message))
        self._got = b""
        lines = self._up_to(b"\r\n\r\n").lower().split(b"\r\n")
        status, heads = int(lines[0][9:12]), dict(line.split(b": ", 1) for line in lines[1:])
        document = json.loads(self._rest(heads))
        if heads.get(b"connection") == b"close":
            self.close()
        return status, document

    def _rest(self, heads: dict[bytes, bytes]) -> bytes:
        if heads.get(b"transfer-encoding") != b"chunked":
            return self._piece(int(heads[b"content-length"]))
        whole = b""
        while length := int(self._up_to(b"\r\n"), 16):
            whole += self._piece(length)
            self._piece(2)
        self._piece(2)
        return whole

    def _piece(self, length: int) -> bytes:
        while len(self._got) < length:
            self._got += self._more()
        piece, self._got = self._got[:length], self._got[length:]
        return piece

    def _up_to(self, end: bytes) -> bytes:
        while end not in self._got:
            self._got += self._more()
        before, _, self._got = self._got.partition(end)
        return before

    def _more(self) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionResetError
        return piece

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
