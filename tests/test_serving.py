"""What `serve` sees to before it listens: the address, and keys that are too short."""

import json

import pytest

from app.cli.starting import warn_of_weak_keys
from app.log import configure_logging
from app.serving import CannotListen, check_address
from app.wiring import Wiring


@pytest.mark.parametrize(
    "bind", ["8080", "127.0.0.1:99999", "127.0.0.1:0", "127.0.0.1:\N{SUPERSCRIPT TWO}", "http://127.0.0.1:8080"]
)
def test_what_is_no_address_to_listen_on_is_refused_with_its_form(bind):
    with pytest.raises(CannotListen, match="HOST:PORT"):
        check_address(bind)


def test_an_address_of_another_machine_is_told_at_once_with_the_way_out():
    with pytest.raises(CannotListen, match="Choose an address of this machine"):
        check_address("192.0.2.1:8080", patience=3600)


def test_a_key_that_could_be_guessed_is_named_in_the_log_and_not_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SHORT", "hunter2")
    monkeypatch.setenv("LONG", "k" * 43)
    file = tmp_path / "leadwire.toml"
    file.write_text('[sources.marketplace]\nkeys = ["env:LONG", "env:SHORT"]\n')
    configure_logging()
    warn_of_weak_keys(Wiring.from_file(str(file)))
    (line,) = capsys.readouterr().out.splitlines()
    assert "hunter2" not in line
    assert json.loads(line).items() >= {"event": "source.key-weak", "key": "env:SHORT", "level": "warning"}.items()
