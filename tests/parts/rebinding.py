"""Run in a network namespace of its own: a name that leads elsewhere when asked again. Prints what came of a post.

The host checks out as 127.0.0.1; whoever connects is led to the address of a cloud's metadata service.
"""

import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

from app.alerts.channels import WebhookChannel
from app.alerts.words import trial
from app.destinations.base import DeliveryFailed
from app.settings import Secret

METADATA = "169.254.169.254"
NAME = "hooks.contoso.example"


def main() -> None:
    for command in ("ip link set lo up", f"ip address add {METADATA}/32 dev lo"):
        subprocess.run(command.split(), check=True)
    heard: list[bytes] = []

    class Metadata(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(1))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer((METADATA, 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers = iter(sys.argv[1:])  # which addresses the name leads to, in turn
    real = socket.getaddrinfo

    def resolver(host, port, *args, **kwargs):
        return real(next(answers) if host == NAME else host, port, *args, **kwargs)

    socket.getaddrinfo = resolver
    url = f"http://{NAME}:{server.server_address[1]}/"
    channel = WebhookChannel(Secret(url, reference="env:HOOK"), "json", lambda: datetime.now(UTC))
    try:
        channel.send("alert-1", trial(None), at=datetime.now(UTC))
        came = "sent"
    except DeliveryFailed as failed:
        came = str(failed.code)
    sys.stdout.write(f"{came} {len(heard)}\n")


if __name__ == "__main__":
    main()
