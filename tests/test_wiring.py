"""What is refused before a lead comes: destinations, files that collide, a broken catalogue."""

import pytest

from app.settings import ConfigError
from app.wiring import Wiring

BASE = '[sources.marketplace]\nkeys = ["env:KEY_A"]\n'
FILE = '[destinations.{name}]\ntype = "file"\npath = "{path}"\n'


@pytest.fixture
def wire(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY_A", "key-a")

    def read(text, errors=None):
        (tmp_path / "leadwire.toml").write_text(BASE + text)
        if errors is not None:
            (tmp_path / "errors").mkdir()
            (tmp_path / "errors/own.toml").write_text(errors)
        return Wiring.from_file("leadwire.toml")

    return read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[destinations.x]\ntype = "fil"\n',
            ["[destinations.x] type: found 'fil'", "azure_table, dynamics, email, file"],
        ),
        ("[destinations.x]\n", ["[destinations.x] type: found nothing"]),
        ('[destinations.x]\ntype = "azure_blob"\n', ["retired", "azure_blob.retired", "Choose another"]),
        ('[destinations.x]\ntype = "file"\n', ["[destinations.x] path: missing; allowed: the path of a file"]),
        ('[destinations.x]\ntype = "file"\npath = "a"\nphat = "b"\n', ["phat: unknown setting (did you mean path?)"]),
        (FILE.format(name="x", path="var/leadwire.db"), ["[destinations.x] path", "[store] url"]),
        (FILE.format(name="x", path="var/../var/leadwire.db-wal"), ["[store] url"]),
        (FILE.format(name="x", path="a") + FILE.format(name="y", path="./a"), ["the file of [destinations.x]"]),
    ],
)
def test_a_wrong_destination_is_named_with_what_is_allowed(wire, text, words):
    with pytest.raises(ConfigError) as refused:
        wire(text)
    assert all(word in str(refused.value) for word in ["leadwire.toml", *words]), str(refused.value)


def test_a_secret_in_place_of_the_word_that_stands_for_it_is_not_shown(wire):
    with pytest.raises(
        ConfigError, match=r"\[destinations\.t\] credential: found something else; allowed: default"
    ) as refused:
        wire('[destinations.t]\ntype = "azure_table"\ncredential = "hunter2"\naccount_url = "https://a.example"\n')
    assert "hunter2" not in str(refused.value)


def test_a_broken_catalogue_next_to_the_configuration_refuses_to_start(wire):
    with pytest.raises(ConfigError, match=r'errors/own\.toml: entry "x\.y"'):
        wire("", errors='["x.y"]\ntitle = 3\n')


def test_an_entry_next_to_the_configuration_goes_over_ours(wire):
    wiring = wire("", errors='["file.disk-full"]\ntitle = "Call the storage team"\n')
    assert wiring.catalogue.get("file.disk-full").title == "Call the storage team"
    assert wiring.catalogue.get("file.disk-full").verdict == "hold"
