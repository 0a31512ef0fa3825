"""The error catalogue: its words, how one failed attempt is recognised, and how a pasted text is."""

import json
import re
import tomllib
from datetime import date
from pathlib import Path
from time import perf_counter

import pytest

from app.catalogue import Catalogue, CatalogueError, Verdict, shipped_folder
from app.catalogue.entry import READERS, Entry
from app.catalogue.text import LIMIT

CATALOGUE = Catalogue.load(shipped_folder())
ENTRIES = [entry for entry in CATALOGUE if entry.code != "uncatalogued"]
EVIDENCE = [
    pytest.param(entry, text, id=f"{entry.code}-{n}") for entry in ENTRIES for n, text in enumerate(entry.evidence)
]

REQUIRED = [
    "azure_table.authentication-failed",
    "azure_table.table-not-found",
    "azure_table.table-being-deleted",
    "azure_table.entity-too-large",
    "azure_table.server-busy",
    "email.authentication-failed",
    "email.smtp-auth-disabled",
    "email.basic-auth-retired",
    "email.send-as-denied",
    "email.recipient-unknown",
    "email.throttled",
    "network.name-not-resolved",
    "network.refused",
    "network.timeout",
    "network.tls-untrusted",
    "network.interrupted",
    "azure_blob.retired",
    "uncatalogued",
]

FULL = """
["contoso.broken"]
title = "It is broken"
cause = "Something broke."
remedy = ["Mend it."]
verdict = "hold"
owner = "operator"
doc = "https://learn.microsoft.com/"
checked = 2026-11-20
codes = ["ContosoBroken"]
evidence = ["ContosoBroken"]
"""


def explained(text: str, catalogue: Catalogue = CATALOGUE) -> str | list[str]:
    """The code that a text leads to, or the codes of the candidates."""
    found = catalogue.explain(text)
    return found.entry.code if found.entry else [entry.code for entry in found.candidates]


def pasted(entry: Entry, text: str) -> str:
    """A recorded text as somebody has it who needs this entry: what is shared answers where no Dynamics is meant."""
    return f"https://graph.microsoft.com {text}" if entry.kind == "entra" else text


def translated(kind: str, code: str | None = None, status: int | None = None, detail: str = "") -> str:
    return CATALOGUE.translate(kind, code=code, status=status, detail=detail).code


def folder_with(tmp_path: Path, text: str, name: str = "contoso.toml") -> Path:
    (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


# --- The words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", REQUIRED)
def test_the_codes_that_the_contract_promises_exist(code):
    assert CATALOGUE.get(code).code == code


@pytest.mark.parametrize("entry", list(CATALOGUE), ids=lambda entry: entry.code)
def test_an_entry_speaks_in_whole_sentences(entry):
    assert entry.title[0].isupper()
    assert not entry.title.endswith(".")
    for sentence in (entry.cause, *entry.remedy):
        assert sentence[0].isupper(), sentence
        assert sentence.endswith((".", "?")), sentence
        assert len(sentence) < 320, sentence


@pytest.mark.parametrize("entry", list(CATALOGUE), ids=lambda entry: entry.code)
def test_an_entry_says_where_it_is_documented_and_when_that_was_checked(entry):
    assert re.fullmatch(r"https://[a-z0-9.-]+/\S*", entry.doc)
    assert entry.checked >= date(2026, 11, 1)


@pytest.mark.parametrize("entry", [one for one in ENTRIES if one.verdict is Verdict.HOLD], ids=lambda entry: entry.code)
def test_an_entry_that_holds_everything_tells_somebody_how_to_see_that_it_is_mended(entry):
    assert entry.owner != "nobody"
    assert re.search(r"leadwire \w+|by itself", " ".join(entry.remedy))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.code)
def test_only_what_a_person_need_not_mend_is_retried_without_an_owner(entry):
    assert entry.owner != "nobody" or entry.verdict in (Verdict.RETRY, Verdict.DONE)


@pytest.mark.parametrize("file", sorted(shipped_folder().glob("*.toml")), ids=lambda file: file.stem)
def test_a_file_holds_the_entries_of_its_own_type(file):
    codes = tomllib.loads(file.read_text("utf-8")).keys() - {"about", "words"}
    generic = {CATALOGUE.get(code).generic for code in codes}
    if file.stem == "common":
        assert generic == {True}
    else:
        assert generic == {False}
        assert {code.partition(".")[0] for code in codes} == {file.stem}


def test_every_field_of_an_entry_can_be_given_in_a_file():
    assert READERS.keys() == set(Entry.__slots__) - {"code"}


def test_an_entry_as_a_dictionary_is_ready_for_json():
    told = json.loads(json.dumps(CATALOGUE.get("azure_table.server-busy").as_dict()))

    assert list(told) == ["code", "title", "cause", "remedy", "verdict", "owner", "doc", "checked"]
    assert told["verdict"] == "retry"
    assert told["checked"] == "2026-11-20"
    assert isinstance(told["remedy"], list)


def test_an_unknown_code_gives_the_entry_for_errors_nobody_knows():
    assert CATALOGUE.get("contoso.never-heard-of").code == "uncatalogued"
    assert CATALOGUE.get("uncatalogued").verdict is Verdict.RETRY


# --- Evidence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entry", "text"), EVIDENCE)
def test_recorded_evidence_is_explained_by_its_entry(entry, text):
    assert explained(pasted(entry, text)) == entry.code


@pytest.mark.parametrize(("entry", "text"), EVIDENCE)
def test_recorded_evidence_in_an_attempt_is_translated_to_its_entry(entry, text):
    kind = "email" if entry.generic else entry.kind
    assert translated(kind, detail=text) == entry.code


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.code)
def test_every_code_and_status_an_entry_claims_leads_its_own_type_there(entry):
    kind = "email" if entry.generic else entry.kind
    for code in entry.claims:
        assert translated(kind, code=code) == entry.code
    if not entry.generic:
        assert [translated(kind, status=status) for status in entry.statuses] == [entry.code] * len(entry.statuses)


# --- One failed attempt ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code", "status", "detail", "expected", "verdict"),
    [
        ("azure_table", "AuthenticationFailed", 403, "", "azure_table.authentication-failed", "hold"),
        ("azure_table", "KeyBasedAuthenticationNotPermitted", 403, "", "azure_table.shared-key-not-allowed", "hold"),
        ("azure_table", "AuthorizationPermissionMismatch", 403, "", "azure_table.permission-missing", "hold"),
        ("azure_table", "AuthorizationFailure", 403, "", "azure_table.address-not-allowed", "hold"),
        ("azure_table", "AccountIsDisabled", 403, "", "azure_table.account-disabled", "hold"),
        ("azure_table", "TableNotFound", 404, "", "azure_table.table-not-found", "hold"),
        ("azure_table", "ResourceNotFound", 404, "", "azure_table.table-not-found", "hold"),
        ("azure_table", "TableBeingDeleted", 409, "", "azure_table.table-being-deleted", "retry"),
        ("azure_table", "EntityAlreadyExists", 409, "", "azure_table.entity-already-exists", "done"),
        ("azure_table", "EntityTooLarge", 400, "", "azure_table.entity-too-large", "dead"),
        ("azure_table", None, 413, "", "azure_table.entity-too-large", "dead"),
        ("azure_table", "OutOfRangeInput", 400, "", "azure_table.value-refused", "dead"),
        ("azure_table", "ServerBusy", 503, "", "azure_table.server-busy", "retry"),
        ("azure_table", "OperationTimedOut", 500, "", "azure_table.internal-error", "retry"),
        ("azure_table", "network.refused", None, "NewConnectionError", "network.refused", "retry"),
        ("azure_table", "network.tls-untrusted", None, "SSLError", "network.tls-untrusted", "hold"),
        ("azure_table", "AADSTS7000222", 401, "", "entra.client-secret-expired", "hold"),
        ("azure_table", "SomethingNew", 403, "", "http.refused", "hold"),
        ("azure_table", "SomethingNew", 429, "", "http.throttled", "retry"),
        ("azure_table", "SomethingNew", 400, "", "uncatalogued", "retry"),
        ("azure_table", None, None, "", "uncatalogued", "retry"),
        ("email", "535 5.7.3", 535, "5.7.3 Authentication unsuccessful", "email.authentication-failed", "hold"),
        ("email", "535", 535, "authentication failed", "email.authentication-failed", "hold"),
        ("email", "535 5.7.139", 535, "", "email.smtp-auth-disabled", "hold"),
        ("email", "550 5.7.30", 550, "", "email.basic-auth-retired", "hold"),
        ("email", "550 5.7.60", 550, "", "email.send-as-denied", "hold"),
        ("email", "550 5.1.1", 550, "", "email.recipient-unknown", "hold"),
        ("email", "550 5.99.7", 550, "", "email.refused", "hold"),
        ("email", None, 550, "", "email.refused", "hold"),
        ("email", "552 5.3.4", 552, "", "email.message-too-large", "dead"),
        ("email", "421 4.3.2", 421, "", "email.temporary", "retry"),
        ("email", "421", 421, "", "email.temporary", "retry"),
        ("email", "432 4.3.2", 432, "", "email.connection-limit", "retry"),
        ("email", "smtp.starttls-not-offered", None, "", "email.tls-not-offered", "hold"),
        ("email", "smtp.auth-not-offered", None, "offered: NTLM", "email.auth-method-not-offered", "hold"),
        ("email", "invalid_authority", None, "", "entra.authority-invalid", "hold"),
        ("azure_table", "CredentialUnavailableError", None, "", "azure_table.identity-missing", "hold"),
        ("email", "ErrorAccessDenied", 403, "", "email.access-denied", "hold"),
        ("email", "erroraccessdenied", 403, "", "email.access-denied", "hold"),
        ("email", "ResourceNotFound", 404, "", "email.sender-unknown", "hold"),
        ("email", "MailboxNotEnabledForRESTAPI", 404, "", "email.mailbox-not-enabled", "hold"),
        ("email", "ErrorSendAsDenied", 403, "", "email.send-as-denied", "hold"),
        ("email", "UnknownError", 503, "", "email.temporary", "retry"),
        ("email", None, 429, "", "email.throttled", "retry"),
        ("email", None, 502, "<html>bad gateway</html>", "http.unavailable", "retry"),
        ("email", "AADSTS90002", None, "", "entra.tenant-not-found", "hold"),
        ("email", "aadsts65001", 400, "", "entra.consent-missing", "hold"),
        ("email", "invalid_client", 401, "AADSTS7000215: Ungültig.", "entra.client-secret-invalid", "hold"),
        ("email", "AADSTS90033", 503, "", "entra.transient", "retry"),
        ("email", "network.timeout", None, "ReadTimeout", "network.timeout", "retry"),
        ("file", "ENOSPC", None, "", "file.disk-full", "hold"),
        ("file", "EACCES", None, "", "file.permission-denied", "hold"),
        ("file", "EROFS", None, "", "file.not-writable", "hold"),
        ("file", "ENOENT", None, "", "file.folder-missing", "hold"),
        ("file", "ENOTDIR", None, "", "file.folder-missing", "hold"),
        ("file", "EISDIR", None, "", "file.is-a-folder", "hold"),
        ("file", "EIO", None, "", "file.disk-fault", "hold"),
    ],
)
def test_an_attempt_is_recognised(kind, code, status, detail, expected, verdict):
    entry = CATALOGUE.translate(kind, code=code, status=status, detail=detail)

    assert (entry.code, entry.verdict) == (expected, verdict)


def test_a_code_goes_before_the_words_around_it():
    assert translated("email", "552 5.3.4", 552, "421 mailbox full") == "email.message-too-large"


def test_the_same_code_is_told_apart_by_the_words_beside_it():
    refused = "Authentication unsuccessful, the user credentials were incorrect."
    retired = "Authentication unsuccessful, basic authentication is disabled."

    assert translated("email", "535 5.7.139", 535, refused) == "email.authentication-failed"
    assert translated("email", "535 5.7.139", 535, retired) == "email.basic-auth-retired"


def test_a_table_name_out_of_range_is_no_fault_of_the_lead():
    detail = "The specified resource name length is not within the permissible limits."
    assert translated("azure_table", "OutOfRangeInput", 400, detail) == "azure_table.table-name-invalid"


def test_codes_of_another_type_say_nothing():
    assert translated("file", "TableNotFound") == "uncatalogued"


def test_a_network_code_that_the_type_explains_better_goes_to_its_own_entry(tmp_path):
    own = FULL.replace('"ContosoBroken"]\nevidence', '"network.timeout"]\nevidence')
    catalogue = Catalogue.load(shipped_folder(), folder_with(tmp_path, own))

    assert catalogue.translate("contoso", code="network.timeout", status=None, detail="").code == "contoso.broken"
    assert catalogue.translate("email", code="network.timeout", status=None, detail="").code == "network.timeout"


# --- A pasted text ---------------------------------------------------------------------------------------------------


def test_a_line_of_our_own_log_leads_to_the_code_it_names():
    line = json.dumps(
        {"event": "delivery.attempted", "lead_id": "0192", "destination": "table", "attempt": 3, "status": 403}
        | {"code": "azure_table.authentication-failed", "verdict": "hold", "timestamp": "2026-11-20T23:51:00Z"}
    )
    assert explained(line) == "azure_table.authentication-failed"


def test_a_catalogue_code_alone_is_enough():
    assert explained("network.tls-untrusted") == "network.tls-untrusted"


@pytest.mark.parametrize(
    "text", ["set network.timeout=30 in the file", "https://network.timeout/x", "see network.timeout.md"]
)
def test_a_setting_or_path_that_looks_like_a_catalogue_code_is_none(text):
    assert explained(text) == []


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_power_automate_run_is_read_through_its_nested_json(depth):
    body = {"odata.error": {"code": "TableNotFound", "message": {"lang": "pl-PL", "value": "Tabela nie istnieje."}}}
    for _ in range(depth):
        body = {"error": {"code": "ActionFailed", "message": f"Request failed with error: '{json.dumps(body)}'"}}

    assert explained(json.dumps({"status": "Failed", "outputs": body})) == "azure_table.table-not-found"


def test_json_that_was_cut_off_is_read_as_far_as_it_goes():
    whole = json.dumps({"error": "invalid_client", "error_codes": [7000222], "trace_id": "0" * 36})
    assert explained(whole[:-20]) == "dynamics.client-secret-expired"


@pytest.mark.parametrize(
    "text",
    [
        "AADSTS7000215",
        "aadsts7000215: cokolwiek",
        "Błąd AADSTS7000215: nieprawidłowy klucz tajny klienta.",
        "La connexion a échoué (AADSTS7000215).",
        '{"error_codes": [7000215]}',
        "https://login.microsoftonline.com/error?code=7000215",
        "Sign-in error code: 7000215",
        "&quot;AADSTS7000215&quot;: クライアント シークレットが無効です。",
    ],
)
def test_a_sign_in_code_is_found_in_any_language(text):
    assert explained(text) == "dynamics.client-secret-invalid"
    assert explained(f"Microsoft Graph: {text}") == "entra.client-secret-invalid"


def test_a_number_without_its_label_is_no_sign_in_code():
    assert explained("Order 7000215 was shipped.") == []


def test_a_reply_over_several_lines_is_read():
    text = "550-5.1.1 The email account that you tried to reach does not exist. Please try\n550-5.1.1 double-checking."
    assert explained(text) == "email.recipient-unknown"


def test_typographic_quotes_make_no_difference():
    text = "AADSTS50053: The account is locked, you\u2019ve tried to sign in too many times."
    assert explained(text.removeprefix("AADSTS50053: ")) == "entra.user-locked"


def test_codes_that_alone_fit_several_systems_give_candidates():
    assert sorted(explained("ResourceNotFound")) == ["azure_table.table-not-found", "email.sender-unknown"]


def test_two_errors_in_one_text_give_both_as_candidates():
    text = "First AADSTS90002, then after the change AADSTS7000222."
    assert explained(text) == ["dynamics.tenant-not-found", "dynamics.client-secret-expired"]
    assert explained(f"{text} (Microsoft Graph)") == ["entra.tenant-not-found", "entra.client-secret-expired"]


def test_the_named_system_decides_whose_code_it_is():
    assert explained("Microsoft Graph said ResourceNotFound") == "email.sender-unknown"
    assert explained("Azure Table said ResourceNotFound") == "azure_table.table-not-found"


@pytest.fixture(scope="module")
def with_crm(tmp_path_factory):
    """The shipped catalogue and a type that claims a sign-in code for itself."""
    text = FULL.replace("contoso.broken", "crm.policy").replace("ContosoBroken", "AADSTS53003")
    text += "\n[about]\ncrm = ['''(?i)contoso crm''']\n"
    return Catalogue.load(shipped_folder(), folder_with(tmp_path_factory.mktemp("crm"), text))


def test_a_type_s_own_entry_wins_over_the_shared_one(with_crm):
    assert explained("AADSTS53003: Access has been blocked by Conditional Access policies.", with_crm) == "crm.policy"
    assert explained("Contoso CRM: AADSTS53003", with_crm) == "crm.policy"


def test_the_address_of_the_sign_in_service_names_no_type(with_crm):
    assert explained("AADSTS53003 https://login.microsoftonline.com/error?code=53003", with_crm) == "crm.policy"


def test_the_shared_entry_answers_where_the_text_speaks_of_another_type(with_crm):
    assert explained("AADSTS53003 for graph.microsoft.com", with_crm) == "entra.conditional-access"


def test_an_attempt_of_a_type_without_its_own_entry_takes_the_shared_one(with_crm):
    for kind, expected in {"crm": "crm.policy", "email": "entra.conditional-access"}.items():
        assert with_crm.translate(kind, code="AADSTS53003", status=401, detail="").code == expected


UNRELATED = [
    "",
    " \n\t ",
    "404",
    "500",
    "InternalError",
    "ServerBusy",
    "NOT_FOUND",
    "error",
    "permission denied",
    "Traceback (most recent call last):\n  File \"a.py\", line 5, in <module>\n    x = {}['k']\nKeyError: 'k'",
    'Traceback (most recent call last):\n  File "a.py", line 1\nrest_framework.exceptions.AuthenticationFailed: No',
    'Traceback (most recent call last):\n  File "r.py", line 9\nConnectionError: Error 111. Connection refused.',
    'Traceback (most recent call last):\n  File "m.py", line 3\nModuleNotFoundError: No module named "yaml"',
    'Traceback (most recent call last):\n  File "r.py", line 9\nConnectionRefusedError: [Errno 111] Connection refused',
    "socket.timeout: timed out\n\nDuring handling of the above exception, another exception occurred:\n",
    "PermissionError: [Errno 13] Permission denied: '/etc/shadow'",
    "FileNotFoundError: [Errno 2] No such file or directory: 'requirements.txt'",
    "2026/11/20 23:51:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream",
    "2026/11/20 23:51:00 [error] 7#7: *9 upstream timed out (110: Connection timed out) while reading response header",
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><h1>502 Bad Gateway</h1><hr>nginx</body></html>",
    "<!DOCTYPE html><html><title>404 Not Found</title><h1>Not Found</h1><p>The requested URL was not found.</p></html>",
    '203.0.113.7 - - [20/Nov/2026:23:51:00 +0000] "POST /leads HTTP/1.1" 503 512 "-" "curl/8"',
    "fatal: unable to access 'https://github.com/contoso/app.git/': Could not resolve host: github.com",
    "fatal: Authentication failed for 'https://github.com/contoso/app.git/'",
    "! [rejected] main -> main (fetch first)\nerror: failed to push some refs to 'origin'",
    'FATAL:  password authentication failed for user "postgres"',
    'psycopg.errors.UndefinedTable: relation "leads" does not exist\nLINE 1: SELECT * FROM leads',
    "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)",
    "ORA-00942: table or view does not exist",
    "Msg 547, Level 16, State 0: The INSERT statement conflicted with the FOREIGN KEY constraint.",
    "sqlite3.OperationalError: database is locked",
    'Error from server (NotFound): pods "contoso-7d9" not found',
    "Back-off restarting failed container: CrashLoopBackOff",
    "dial tcp: lookup registry.contoso.example on 10.96.0.10:53: no such host",
    'Get "https://10.0.0.1:6443/api": dial tcp 10.0.0.1:6443: connect: connection refused',
    "docker: Error response from daemon: write /var/lib/docker/tmp: no space left on device.",
    "npm ERR! code ENOENT\nnpm ERR! syscall open\nnpm ERR! enoent Could not read package.json",
    "An error occurred (EntityTooLarge) when calling the PutObject operation: Your proposed upload exceeds the maximum",
    "<Error><Code>InternalError</Code><Message>We encountered an internal error. Please try again.</Message></Error>",
    "An error occurred (EntityAlreadyExists) when calling the CreateRole operation: Role with name x already exists.",
    "{'ok': 0.0, 'errmsg': 'Authentication failed.', 'code': 18, 'codeName': 'AuthenticationFailed'}",
    '{"error":{"code":"AuthenticationFailed","message":"Authentication failed. The header is missing."}}',
    "The Resource 'Microsoft.Web/sites/contoso' was not found. Code: ResourceNotFound",
    'java.lang.NullPointerException: Cannot invoke "String.length()" because "s" is null',
    "panic: runtime error: index out of range [5] with length 3",
    "error[E0502]: cannot borrow `x` as mutable because it is also borrowed as immutable",
    "The customer asked for a demo on Friday and wants a quote for 535 seats.",
    "Chapter 5.7.1 explains how the parts are put together; see also 4.2.2.",
    "5.7.1 Scope of this document",
    "Call +1 550 571 0111 and ask for the manager.",
    "Der Drucker druckt nicht, und die Kaffeemaschine ist auch kaputt.",
    "La voiture ne démarre plus depuis ce matin.",
    "El pedido llegó tarde y faltaba una caja.",
    "Klient prosi o ofertę na piątek.",
    "De levering is gisteren zonder problemen aangekomen.",
    "Il servizio era ottimo, grazie.",
    "O cliente ligou duas vezes ontem.",
    "会議は午後三時に始まります。",
    "Azure Blob upload finished: leads.csv, 12 kB.",
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
]


@pytest.mark.parametrize("text", UNRELATED)
def test_a_text_about_something_else_gives_nothing(text):
    assert explained(text) == []


@pytest.mark.parametrize(
    ("entry", "text"),
    # General words count only near a system's name, a lone word only alone.
    [one for one in EVIDENCE if not one.values[0].in_context and not one.values[1].isalpha()],
)
def test_a_long_unrelated_text_around_it_does_not_hide_an_error(entry, text):
    around = "\n".join(["2026-11-20 the quick brown fox jumps over the lazy dog"] * 40)
    assert explained(f"{around}\n{pasted(entry, text)}\n{around}") == entry.code


HOSTILE = {
    "letters": "a" * LIMIT,
    "brackets": "(" * LIMIT,
    "nested lists": "[" * LIMIT,
    "nested objects": '{"a":' * (LIMIT // 5),
    "escapes": "\\" * LIMIT,
    "escaped objects": '{\\"a\\":' * (LIMIT // 7),
    "expanding letters": "\ufdfa" * LIMIT,
    "half a code": "AADSTS" * (LIMIT // 6),
    "replies": "\n535" * (LIMIT // 4),
    "dots and dashes": "a.b-" * (LIMIT // 4),
    "names": "azure smtp " * (LIMIT // 11),
    "beginnings of patterns": "azure blob application is over its message " * (LIMIT // 43),
    "quotes": "user account '" * (LIMIT // 14),
    "too long": "x@ " * LIMIT,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_is_answered_soon(text):
    started = perf_counter()
    explained(text)
    translated("email", detail=text)

    # a second is what it takes on a slow machine; a pattern that backtracks would take hours
    assert perf_counter() - started < 30


def test_what_stands_beyond_the_limit_is_not_read():
    assert explained("x " * LIMIT + "AADSTS7000215") == []


# --- Folders and broken files ----------------------------------------------------------------------------------------


def test_a_later_folder_changes_the_keys_it_gives_and_leaves_the_rest(tmp_path):
    mine = folder_with(tmp_path, '["azure_table.server-busy"]\nremedy = ["Call the night desk."]\nverdict = "hold"\n')

    entry = Catalogue.load(shipped_folder(), mine).get("azure_table.server-busy")

    shipped = CATALOGUE.get("azure_table.server-busy")
    assert (entry.remedy, entry.verdict) == (("Call the night desk.",), Verdict.HOLD)
    assert (entry.title, entry.weak) == (shipped.title, shipped.weak)


def test_a_later_folder_adds_entries(tmp_path):
    catalogue = Catalogue.load(shipped_folder(), folder_with(tmp_path, FULL))

    assert explained("it said ContosoBroken", catalogue) == "contoso.broken"
    assert len(catalogue) == len(CATALOGUE) + 1
    assert "contoso.broken" in catalogue


def test_a_folder_that_is_not_there_is_passed_over(tmp_path):
    assert len(Catalogue.load(shipped_folder(), tmp_path / "none")) == len(CATALOGUE)


def test_the_same_folder_twice_changes_nothing():
    assert list(Catalogue.load(shipped_folder(), shipped_folder())) == list(CATALOGUE)


def test_without_the_entry_for_unknown_errors_there_is_no_catalogue(tmp_path):
    with pytest.raises(CatalogueError, match=r'no entry "uncatalogued" in .*'):
        Catalogue.load(folder_with(tmp_path, FULL))


@pytest.mark.parametrize(
    ("change", "named", "found", "allowed"),
    [
        (('verdict = "hold"', 'verdict = "panic"'), "verdict", "'panic'", "retry, hold, dead, done"),
        (('owner = "operator"', 'owner = "boss"'), "owner", "'boss'", "publisher, crm-admin"),
        (('title = "It is broken"', "titel = 1"), "titel", "1", "only the keys title, cause"),
        (('title = "It is broken"', 'title = " "'), "title", "' '", "a text"),
        (('title = "It is broken"\n', ""), "contoso.broken", "no title", "title, cause, remedy"),
        (('evidence = ["ContosoBroken"]', ""), "contoso.broken", "no evidence", "evidence"),
        (('evidence = ["ContosoBroken"]', "evidence = []"), "evidence", "[]", "one or more"),
        (('remedy = ["Mend it."]', 'remedy = "Mend it."'), "remedy", "'Mend it.'", "a list of one or more steps"),
        (('codes = ["ContosoBroken"]', "codes = [1]"), "codes", "[1]", "a list of texts"),
        (('codes = ["ContosoBroken"]', "statuses = [42]"), "statuses", "[42]", "100 to 599"),
        (('codes = ["ContosoBroken"]', "statuses = [true]"), "statuses", "[True]", "100 to 599"),
        (('codes = ["ContosoBroken"]', "patterns = ['(']"), "patterns", "'('", "a regular expression"),
        (('codes = ["ContosoBroken"]', "generic = 1"), "generic", "1", "true or false"),
        (('codes = ["ContosoBroken"]', 'refines = ["Other"]'), "refines", "'Other'", "a sibling claims"),
        (("checked = 2026-11-20", 'checked = "2026-11-20"'), "checked", "'2026-11-20'", "without quotes"),
        (("checked = 2026-11-20", "checked = 2026-11-20T00:00:00Z"), "checked", "datetime", "without quotes"),
        (('doc = "https:', 'doc = "http:'), "doc", "'http://", "https://"),
        (('["contoso.broken"]', '["Contoso Broken"]'), "Contoso Broken", "'Contoso Broken'", "in quotes"),
        (('["contoso.broken"]', "[contoso.broken]"), "contoso", "contoso", "in quotes"),
        (('["contoso.broken"]', 'x = 1\n["contoso.broken"]'), "x", "'x'", "in quotes"),
        (('["contoso.broken"]', '["contoso.broken"'), "the file", "line 2", "TOML"),
        (("codes =", "[about]\ncontoso = 'x'\n[y]\ncodes ="), "about.contoso", "'x'", "list of regular expressions"),
        (
            ('evidence = ["ContosoBroken"]', 'evidence = ["x"]\n[about]\nz = ["["]'),
            "about.z",
            "'['",
            "regular expression",
        ),
    ],
)
def test_a_broken_file_is_named_with_entry_key_and_what_is_allowed(tmp_path, change, named, found, allowed):
    before, after = change
    assert before in FULL
    folder = folder_with(tmp_path, FULL.replace(before, after))

    with pytest.raises(CatalogueError) as caught:
        Catalogue.load(shipped_folder(), folder)

    message = str(caught.value)
    assert message.startswith(f"{folder / 'contoso.toml'}: ")
    where, _, rest = message.partition(": found ")
    assert named in where
    assert found in rest.partition("; allowed: ")[0]
    assert allowed in rest.partition("; allowed: ")[2]


def test_a_file_that_is_no_utf8_is_named(tmp_path):
    (tmp_path / "contoso.toml").write_bytes(b'title = "\xff"')

    with pytest.raises(CatalogueError, match=r"contoso\.toml: the file: found 'UnicodeDecodeError'"):
        Catalogue.load(shipped_folder(), tmp_path)


@pytest.mark.parametrize("claim", ['codes = ["contosobroken"]', 'weak = ["ContosoBroken"]'])
def test_a_code_that_two_entries_of_one_type_claim_is_refused(tmp_path, claim):
    other = FULL.replace("contoso.broken", "contoso.other").replace('codes = ["ContosoBroken"]', claim)

    with pytest.raises(CatalogueError, match=r'entry "contoso.other": found .*; allowed: codes .* contoso.broken'):
        Catalogue.load(shipped_folder(), folder_with(tmp_path, FULL + other))


def test_a_status_that_two_entries_of_one_type_claim_is_refused(tmp_path):
    one = FULL + "statuses = [418]\n"
    other = one.replace("contoso.broken", "contoso.other").replace("ContosoBroken", "ContosoOther")

    with pytest.raises(CatalogueError, match=r"found 418; allowed: codes and statuses"):
        Catalogue.load(shipped_folder(), folder_with(tmp_path, one + other))


def test_the_same_entry_in_two_files_of_a_folder_is_refused(tmp_path):
    folder_with(tmp_path, FULL)

    with pytest.raises(CatalogueError, match=r"contoso2\.toml: .*found 'a second one'.*contoso\.toml"):
        Catalogue.load(shipped_folder(), folder_with(tmp_path, FULL, name="contoso2.toml"))
