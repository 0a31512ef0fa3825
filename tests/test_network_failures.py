"""What stands between this machine and a destination: proxies, certificates, and files that aren't there."""

import socket
import ssl
import threading
from contextlib import contextmanager

import pytest
import requests

from app.catalogue import Catalogue, shipped_folder
from app.destinations import REGISTRY
from app.destinations.base import DeliveryFailed, http_session, network_failure
from tests.standins.tls import TlsServer

CATALOGUE = Catalogue.load(shipped_folder())


@contextmanager
def answering(reply):
    """A port where whoever connects is told `reply`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            line, _ = listener.accept()
            with line:
                line.recv(4096)
                line.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def failed(url, *, ca_bundle=None):
    try:
        http_session(ca_bundle).get(url)
    except DeliveryFailed as failure:
        return failure
    except (requests.RequestException, OSError) as exc:
        return network_failure(exc)
    pytest.fail("it went through")


@pytest.fixture
def through(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")
    return lambda port: monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
def test_a_proxy_that_says_no_is_named_with_its_own_words(through, status):
    with answering(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()) as port:
        through(port)
        failure = failed("https://contoso.example/")
    assert (failure.code, failure.about) == ("network.proxy-failed", f"Tunnel connection failed: {status}")


def test_a_proxy_that_is_away_is_not_taken_for_the_destination(through):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        through(nobody.getsockname()[1])
        assert failed("https://contoso.example/").code == "network.proxy-failed"


@pytest.mark.parametrize("kind", REGISTRY)
def test_a_proxy_is_the_operator_s_whatever_it_keeps_from_the_destination(kind):
    by_code = CATALOGUE.translate(kind, code="network.proxy-failed", status=None, detail="")
    by_status = CATALOGUE.translate(kind, code=None, status=407, detail="")
    assert by_code == by_status
    assert (by_code.code, by_code.verdict, by_code.owner) == ("network.proxy-failed", "hold", "operator")


def test_an_untrusted_certificate_says_why(server_tls):
    server = TlsServer(server_tls)
    try:
        failure = failed(f"https://127.0.0.1:{server.port}/")
    finally:
        server.stop()
    assert failure.code == "network.tls-untrusted"
    assert "certificate" in failure.about


def test_a_port_that_speaks_no_tls_is_told_from_a_bad_certificate():
    with answering(b"220 leads.contoso.example ESMTP\r\n") as port:
        failure = failed(f"https://127.0.0.1:{port}/")
    assert (failure.code, failure.about) == ("network.tls-untrusted", "WRONG_VERSION_NUMBER")


def test_a_ca_bundle_that_is_not_there_is_no_interruption(tmp_path):
    failure = failed("https://127.0.0.1:1/", ca_bundle=str(tmp_path / "gone.pem"))
    assert failure.code == "network.tls-untrusted"
    assert "ca_bundle" in failure.about


def test_trouble_on_the_way_to_the_sign_in_service_names_that_service():
    failure = network_failure(ssl.SSLError(1, "[SSL: X] x"), at="signing in at login.contoso.example")
    assert failure.about.startswith("signing in at login.contoso.example")
    assert network_failure(ConnectionRefusedError(), at="signing in at login.contoso.example").about == (
        "signing in at login.contoso.example"
    )
