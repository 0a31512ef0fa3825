"""The token endpoint that Azure gives its machines and apps; the test says what a token is and whether there is one."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit


class ManagedIdentity:
    """`token(resource)` gives what is answered with `status` 200; `asked` counts."""

    def __init__(self, token):
        self.token = token
        self.status = 200
        self.asked = 0


@contextmanager
def managed_identity(made, monkeypatch):
    """Have the Azure SDKs of this process find it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            made.asked += 1
            resource = parse_qs(urlsplit(self.path).query)["resource"][0]
            granted = {**made.token(resource), "resource": resource, "token_type": "Bearer"}
            answer = granted if made.status == 200 else {"statusCode": made.status, "message": "no"}
            self.send_response(made.status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header-secret")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        yield made
        server.shutdown()
        thread.join()
