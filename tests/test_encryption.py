"""`[encryption]` and `leadwire encryption`: what people see of the keys."""

import base64
from pathlib import Path

import pytest

from app.settings import ConfigError, decode_key, find_config, load_settings
from tests.parts.server import lead, until

A, B = (base64.urlsafe_b64encode(bytes(range(at, at + 32))).decode().rstrip("=") for at in (0, 100))
BASE64 = base64.b64encode(bytes(range(220, 252))).decode()  # with + and / in it


def load(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    Path("var").mkdir()
    Path("var/marketplace.key").write_text("a-key")
    Path("leadwire.toml").write_text(f"[encryption]\n{text}\n")
    return load_settings(find_config("leadwire.toml"))


@pytest.mark.parametrize("text", [A, BASE64, BASE64.rstrip("="), f"{BASE64}\n"])
def test_a_master_key_is_32_bytes_in_base64_of_either_kind(text):
    assert len(decode_key(text)) == 32


@pytest.mark.parametrize("text", ["", "a password", A[:-2], A + "AA", "ä" * 43, f"{A[:20]} {A[20:]}"])
def test_anything_else_is_none(text):
    assert decode_key(text) is None


def test_without_the_section_the_store_finds_its_own_way(tmp_path, monkeypatch):
    found = load(tmp_path, monkeypatch, "").encryption
    assert (found.key, found.previous) == (None, None)


def test_a_key_comes_from_the_environment_a_file_or_a_vault(tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER", A)
    vault = "keyvault:https://contoso.vault.azure.net/keys/leadwire"
    found = load(tmp_path, monkeypatch, f'key = "{vault}"\nprevious = "env:MASTER"').encryption
    assert (found.key.reference, found.previous.reveal()) == (vault, A)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'key = "{A}"', ["[encryption] key", "never written here"]),
        ('key = "env:MASTER"', ["[encryption] key", "env:MASTER", "32 bytes in base64"]),
        ('key = "env:NOT_THERE"', ["[encryption] key", "NOT_THERE is not set"]),
        ('key = "file:var/gone.key"', ["[encryption] key", "var/gone.key can't be read"]),
        ('previous = "file:good.key"', ["[encryption] previous", "needs `key`"]),
        ('key = "keyvault:http://contoso.vault.azure.net/keys/k"', ["[encryption] key", "keyvault:https://"]),
        ('key = "keyvault:https://contoso.vault.azure.net/secrets/k"', ["[encryption] key", "/keys/KEY"]),
    ],
)
def test_a_wrong_one_is_told_and_never_shown(tmp_path, monkeypatch, text, told):
    monkeypatch.setenv("MASTER", "hunter2")
    (tmp_path / "good.key").write_text(A)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, monkeypatch, text)
    assert all(words in str(caught.value) for words in told), str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert A not in str(caught.value)


def encrypt(server, key, previous=None):
    """Write other master keys into the server's configuration."""
    text = server.config.read_text().partition("[encryption]\n")[0]
    lines = [f'key = "env:{key}"', *([f'previous = "env:{previous}"'] if previous else [])]
    server.config.write_text(text + "\n".join(["[encryption]", *lines, ""]))
    server.environment |= {"KEY_A": A, "KEY_B": B}


def test_the_master_key_is_replaced_while_the_server_runs(server_on):
    server = server_on
    encrypt(server, "KEY_A")
    server.start()
    first = server.post(lead(1)).json()["id"]
    encrypt(server, "KEY_B", "KEY_A")
    done = server.json("encryption", "rotate", "--no-wait")
    assert (done["ok"], done["key"], done["master"]) == (True, 2, "env:KEY_B")
    second = server.post(lead(2)).json()["id"]
    assert until(lambda: len(server.delivered()) == 2, seconds=10)
    assert server.stop() == 0
    encrypt(server, "KEY_B")
    assert server.json("encryption", "rotate", "--no-wait")["key"] == 3
    server.start()
    third = server.post(lead(3)).json()["id"]
    shown = [server.json("show", id_)["lead"]["email"] for id_ in (first, second, third)]
    assert shown == ["someone1@contoso.com", "someone2@contoso.com", "someone3@contoso.com"]
    assert until(lambda: len(server.delivered()) == 3, seconds=10)
    assert [one["target"] for one in server.json("audit", "--action", "rotate-keys")] == ["key 3", "key 2"]


def test_a_server_with_another_master_key_does_not_start_and_says_why(server_on):
    server = server_on
    encrypt(server, "KEY_A")
    server.start()
    id_ = server.post(lead(1)).json()["id"]
    assert server.stop() == 0
    encrypt(server, "KEY_B")
    server.start(wait=False)
    assert server.process.wait(20) == 2
    told = server.log.read_text()
    assert "theirs is env:KEY_A, and given is env:KEY_B" in told
    assert not any(key in told for key in (A, B))
    found = server.command("check")
    assert found.returncode == 1
    assert "env:KEY_A" in found.stderr
    encrypt(server, "KEY_A")
    server.start()
    assert server.json("show", id_)["lead"]["email"] == "someone1@contoso.com"


def test_a_lost_key_file_is_told_by_name_and_not_made_anew(server):
    server.start()
    server.post(lead(1))
    assert server.stop() == 0
    file = server.folder / "var/leadwire.db.key"
    assert file.stat().st_mode & 0o777 == 0o600
    file.rename(server.folder / "elsewhere")
    server.start(wait=False)
    assert server.process.wait(20) == 2
    assert "var/leadwire.db.key" in server.log.read_text()
    assert "backup" in server.log.read_text()
    assert not file.exists()


def test_check_says_where_the_master_key_is_and_when_there_is_none(server_on, database):
    found = server_on.command("check")
    assert found.returncode == 0, found.stdout + found.stderr
    line = next(line for line in found.stdout.splitlines() if "encryption" in line)
    if database == "sqlite":
        assert line.startswith("ok ")
        assert "leadwire.db.key" in line
    else:
        assert line.startswith("beware ")
        assert "[encryption] key" in line
