"""Where the server listens: what is no address, and what this machine doesn't have."""

import pytest

from app.serving import CannotListen, check_address


@pytest.mark.parametrize(
    "bind", ["8080", "127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:\N{SUPERSCRIPT TWO}", "http://127.0.0.1:8080"]
)
def test_what_is_no_address_to_listen_on_is_refused_with_its_form(bind):
    with pytest.raises(CannotListen, match="HOST:PORT"):
        check_address(bind)


def test_an_address_of_another_machine_is_told_at_once_with_the_way_out():
    with pytest.raises(CannotListen, match="Choose an address of this machine"):
        check_address("192.0.2.1:8080", patience=3600)
