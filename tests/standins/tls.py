"""An HTTP server over TLS on loopback, for stand-ins that answer in a method."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class TlsServer:
    """An HTTP server of its own thread; subclasses answer in `respond(method, path, headers, body)`.

    `respond` gives status, headers and body, or None to close the connection without an answer.
    """

    def __init__(self, context, *, port=0):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes, and the second would wait for 40 ms

            def _any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.calls.append((self.command, self.path))
                outer.serve(self, outer.respond(self.command, self.path, self.headers, body))

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815  (http.server finds them so)

            def log_message(self, *args):
                pass

        self.calls = []
        self.hang = threading.Event()  # set: whoever is kept waiting is let go
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that hang up are part of the scenarios
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        self.url = f"https://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def respond(self, method, path, headers, body):
        raise NotImplementedError

    def serve(self, handler, answer):
        """Write an answer; in its headers, `cut` says after how many bytes of the body the line goes dead.

        `drip` sends it in chunks of 50 bytes, with so many seconds between two.
        """
        if answer is None:
            handler.close_connection = True
            return
        status, headers, body = answer
        headers = dict(headers)
        cut, drip = headers.pop("cut", None), headers.pop("drip", None)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, str(value))
        if drip is not None:
            self._drip(handler, body, drip)
            return
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body if cut is None else body[:cut])
        handler.close_connection = handler.close_connection or cut is not None

    def _drip(self, handler, body, seconds):
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(body), 50):
            piece = body[start : start + 50]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.hang.wait(seconds)
        handler.wfile.write(b"0\r\n\r\n")

    def stop(self):
        self.hang.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
