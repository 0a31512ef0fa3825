"""How a Dataverse batch must be written: OData's multipart/mixed, refused where the real service would not read it."""

import json
import re
from http.client import parse_headers
from io import BytesIO


class Fault(Exception):  # noqa: N818  (an answer, not a fault of ours)
    """An answer that isn't a success: status, code, message, headers."""

    def __init__(self, status, code, message, **headers):
        super().__init__(status, code, message)
        self.status, self.code, self.message, self.headers = status, code, message, headers

    @property
    def body(self):
        return json.dumps({"error": {"code": self.code, "message": self.message}}, ensure_ascii=False).encode()


def _want(fine, why):
    if not fine:
        raise Fault(400, "0x80048d19", f"Error identified in Payload provided by the user for Entity :'': {why}")


def read_parts(content_type, body):
    """Give Content-ID and (method, url, headers, record) of each part."""
    found = re.fullmatch(r'multipart/mixed; ?boundary=("?)([A-Za-z0-9_-]{1,70})\1', content_type)
    _want(found, "The content type of a batch must be multipart/mixed with a boundary.")
    _want(b"\n" not in body.replace(b"\r\n", b""), "The stream was not readable: lines of a batch end in CRLF.")
    pieces = (b"\r\n" + body).split(b"\r\n--" + found[2].encode())
    _want(
        len(pieces) > 2 and not pieces[0] and pieces[-1] in {b"--", b"--\r\n"}, "A boundary is not where it should be."
    )
    parts = [_read_part(piece) for piece in pieces[1:-1]]
    numbers = [number for number, _ in parts]
    _want(len(set(numbers)) == len(numbers), "A Content-ID is there twice.")
    return parts


def _read_part(piece):
    _want(piece.startswith(b"\r\n"), "A boundary stands alone in its line.")
    stream = BytesIO(piece.removeprefix(b"\r\n"))
    outer = parse_headers(stream)
    _want(outer.get("Content-Type") == "application/http", "A part needs Content-Type: application/http.")
    _want(outer.get("Content-Transfer-Encoding") == "binary", "A part needs Content-Transfer-Encoding: binary.")
    _want(re.fullmatch(r"[1-9]\d*", outer.get("Content-ID", "")), "The Content-ID of a part is a number.")
    line = re.fullmatch(rb"([A-Z]+) (\S+) HTTP/1\.1\r\n", stream.readline())
    _want(line, "The request line of a part is not valid.")
    inner = parse_headers(stream)
    content = stream.read()
    _want(inner.get("Content-Type", "").startswith("application/json"), "The content of an operation is JSON.")
    _want(int(inner.get("Content-Length", len(content))) == len(content), "Content-Length is not the length.")
    try:
        record = json.loads(content)
    except ValueError:
        record = None
    _want(isinstance(record, dict), "The JSON of an operation is not valid.")
    return outer["Content-ID"], (line[1].decode(), line[2].decode(), inner, record)
