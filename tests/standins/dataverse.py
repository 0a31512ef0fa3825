"""The leads table of a Dataverse environment: its Web API over TLS, as strict as the real one where we depend on it.

`$batch`, `WhoAmI`, the privilege function and the definitions of columns; roles, membership, limits; and what goes
wrong between systems: answers that never come although the leads were written, cut off, incomplete or out of order.
Run `python -m tests.standins.dataverse FOLDER` for an environment (and a sign-in service) to try things against.
"""

import json
import re
import time
import uuid
from collections import deque
from urllib.parse import unquote, urlsplit

from tests.standins.dataverse_batch import Fault, read_parts
from tests.standins.dataverse_leads import ME, Environment
from tests.standins.entra import HTML, JSON, EntraServer
from tests.standins.tls import TlsServer

API = "/api/data/v9.2"
MAINTENANCE = b"<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body>maintenance</body></html>"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
THROTTLED = {
    "0x80072322": "Number of requests exceeded the limit of 6000 over time window of 300 seconds.",
    "0x80072321": "Combined execution time of incoming requests exceeded limit of 1,200,000 milliseconds over time "
    "window of 300 seconds. Decrease number of concurrent requests or reduce the duration of requests and try again.",
    "0x80072326": "Number of concurrent requests exceeded the limit of 52.",
}


class DataverseServer(TlsServer, Environment):
    """The environment's Web API at `url`; `entra` says which tokens are good."""

    def __init__(self, context, entra, *, port=0, **known):
        Environment.__init__(self, **known)
        self.entra = entra
        self._counted = deque()
        TlsServer.__init__(self, context, port=port)
        entra.resources.add(self.url)

    @property
    def batches(self):
        """How many batches came."""
        return sum(path == f"{API}/$batch" for _, path in self.calls)

    def respond(self, method, path, headers, body):
        if method == "PUT" and path == "/_stand-in":
            return self._steer(json.loads(body))
        try:
            return self._answer(method, unquote(path), headers, body)
        except Fault as fault:
            return fault.status, {**JSON, "OData-Version": "4.0", **fault.headers}, fault.body

    def _steer(self, wanted):
        """Change the environment from outside: {"maintenance": true, "roles": false, …}."""
        for name in wanted.keys() & {"maintenance", "member", "roles", "has_leads", "duplicate_rule"}:
            setattr(self, name, bool(wanted[name]))
        if "privileges" in wanted:
            self.privileges = set(wanted["privileges"])
        return 200, JSON, json.dumps({"leads": len(self.leads), "calls": len(self.calls)}).encode()

    def _answer(self, method, path, headers, body):
        if self.page:
            return self.page
        if self.maintenance:
            return 503, HTML, MAINTENANCE
        self._admit(headers)
        if (method, path) == ("POST", f"{API}/$batch"):
            return self._batch(headers, body)
        if method == "DELETE" and (target := re.fullmatch(rf"{API}/leads\(({UUID})\)", path)):
            self._count(1)
            self._may("prvDeleteLead")
            self.delete(target[1])
            return 204, {"OData-Version": "4.0"}, b""
        if method != "GET" or not path.startswith(f"{API}/"):
            raise Fault(404, "0x80060888", f"Resource not found for the segment '{path.rpartition('/')[2]}'.")
        self._count(1)
        return 200, JSON, json.dumps(self._read(path.removeprefix(API))).encode()

    def _admit(self, headers):
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or self.entra.tokens.get(token) != self.url:
            raise Fault(401, "", "", **{"WWW-Authenticate": f'Bearer authorization_uri="{self.entra.url}/common"'})
        for name in ("OData-Version", "OData-MaxVersion"):
            if headers.get(name) != "4.0":
                raise Fault(400, "0x80060888", f"The header {name} must be 4.0.")
        if "application/json" not in headers.get("Accept", ""):
            raise Fault(406, "0x80060888", "The requested media type is not supported.")
        if self.throttle:
            code, extra = self.throttle.popleft()
            raise Fault(429, code, THROTTLED[code], **extra)
        if not self.member:
            raise Fault(403, "0x80072560", "The user is not a member of the organization.")
        if not self.roles:
            text = "SecLib::RetrievePrivilegeForUser failed - no roles are assigned to user."
            raise Fault(403, "0x80042f09", f"{text} Returned hr = -2147209463, User: {ME}")

    def _count(self, requests):
        """Count as the service does: in a sliding window, refusing what would go over it."""
        self.operations += requests
        if self.limit is None:
            return
        most, seconds = self.limit
        now = time.monotonic()
        while self._counted and self._counted[0][0] + seconds <= now:
            self._counted.popleft()
        if sum(count for _, count in self._counted) + requests > most:
            raise Fault(429, "0x80072322", THROTTLED["0x80072322"], **{"Retry-After": str(int(seconds))})
        self._counted.append((now, requests))

    def _read(self, path):
        parts = urlsplit(path)
        if parts.path == "/WhoAmI":
            return {"BusinessUnitId": str(uuid.uuid4()), "UserId": ME, "OrganizationId": str(uuid.uuid4())}
        asked = re.fullmatch(
            rf"/systemusers\({ME}\)/Microsoft\.Dynamics\.CRM\."
            r"RetrieveUserPrivilegeByPrivilegeName\(PrivilegeName='(\w+)'\)",
            parts.path,
        )
        if asked:
            self._may("prvReadUser")
            held = asked[1] in self.privileges
            return {"RolePrivileges": [{"Depth": "Global", "PrivilegeName": asked[1]}] if held else []}
        return self._definitions(parts)

    def _may(self, privilege):
        if privilege not in self.privileges:
            raise Fault(403, "0x80040220", f"Principal user (Id={ME}) is missing {privilege} privilege.")

    def _definitions(self, parts):
        found = re.fullmatch(
            r"/EntityDefinitions\(LogicalName='lead'\)/Attributes(?:/Microsoft\.Dynamics\.CRM\.(\w+)AttributeMetadata)?",
            parts.path,
        )
        if not found or not self.has_leads:
            raise Fault(404, "0x80060888", "Could not find an entity with the specified name.")
        self._may("prvReadEntity")
        return {
            "value": [self._definition(name, one) for name, one in self.columns.items() if found[1] in {None, one.type}]
        }

    @staticmethod
    def _definition(name, column):
        told = {"LogicalName": name, "AttributeType": column.type, "IsValidForCreate": column.create}
        if column.type in {"String", "Memo"}:
            told["MaxLength"] = column.most
        if column.options:
            told["OptionSet"] = {"Options": [{"Value": value} for value in column.options]}
        return told

    def _batch(self, headers, body):
        parts = read_parts(headers.get("Content-Type", ""), body)
        if len(parts) > 1000:
            raise Fault(400, "0x80060888", "The maximum number of operations in a batch is 1000.")
        self._count(len(parts) + 1)
        going_on = "odata.continue-on-error" in headers.get("Prefer", "")
        answers = []
        for content_id, request in parts:
            status, part = self._operate(content_id, request)
            answers.append(part)
            if status >= 400 and not going_on:
                break
        return self._with_mishap(answers)

    def _operate(self, content_id, request):
        try:
            key = self._write(request)
            url = f"{self.url}{API}/leads({key})"
            status, head, body = 204, {"OData-Version": "4.0", "Location": url, "OData-EntityId": url}, b""
        except Fault as fault:
            status, body = fault.status, fault.body
            head = {"Content-Type": "application/json; odata.metadata=minimal", "OData-Version": "4.0", **fault.headers}
        lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
        lines += [f"Content-ID: {content_id}"] if self.echo else []
        lines += ["", f"HTTP/1.1 {status} {'No Content' if status == 204 else 'Refused'}"]
        lines += [*(f"{name}: {value}" for name, value in head.items()), "", ""]
        return status, "\r\n".join(lines).encode() + body

    def _write(self, request):
        method, url, headers, record = request
        target = re.fullmatch(rf"(?:{re.escape(self.url)})?{API}/leads\(({UUID})\)", url)
        if method != "PATCH" or target is None:
            raise Fault(404, "0x80060888", f"Resource not found for the segment '{url.rpartition('/')[2]}'.")
        self.create(target[1], record, headers)
        return target[1]

    def _with_mishap(self, answers):
        """Answer a batch whose leads were written, in the way that the test wants it to go wrong."""
        mishap = self.mishap.popleft() if self.mishap else None
        if mishap == "timeout":
            self.hang.wait(30)
            return None
        if mishap == "close":
            return None
        if mishap == "drop":
            answers = answers[1:]
        elif mishap == "reorder":
            answers = answers[::-1]
        elif mishap == "garble":
            answers[0] = b"Content-Type: text/plain\r\n\r\nout of order"
        elif mishap == "twice":
            answers = [*answers, answers[0]]
        boundary = f"batchresponse_{uuid.uuid4()}"
        body = b"".join(f"--{boundary}\r\n".encode() + answer + b"\r\n" for answer in answers)
        body += f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}", "OData-Version": "4.0"}
        if mishap == "cut":
            headers["cut"] = len(body) // 2
        if mishap in {"chunked", "drip"}:
            headers["drip"] = 0 if mishap == "chunked" else 0.5
        if mishap == "unfinished":
            body = body[: len(body) // 2]
        return 200, headers, body


def main(folder):
    """Start both until interrupted; the CA's certificate and the settings to use are said and written to FOLDER."""
    import ssl
    from pathlib import Path

    import trustme

    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    bundle = Path(folder) / "dataverse-ca.pem"
    ca.cert_pem.write_to_path(str(bundle))
    entra = EntraServer(context)
    dataverse = DataverseServer(context, entra)
    settings = {
        "type": "dynamics", "url": dataverse.url, "auth": "app", "tenant_id": entra.tenant, "client_id": entra.client,
        "client_secret": "env:DYNAMICS_SECRET", "authority": entra.url, "ca_bundle": str(bundle),
    }  # fmt: skip
    lines = ["[destinations.crm]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
    (Path(folder) / "dataverse.toml").write_text("\n".join(lines) + "\n")
    print("\n".join([*lines, f"# DYNAMICS_SECRET={entra.secret}"]), flush=True)  # noqa: T201  (for a person)
    try:
        dataverse.hang.wait()
    except KeyboardInterrupt:
        pass
    finally:
        dataverse.stop()
        entra.stop()


if __name__ == "__main__":
    import sys

    main(sys.argv[1] if len(sys.argv) > 1 else ".")
