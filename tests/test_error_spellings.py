"""The same error however it is written: numbers in every base, labels around them, replies of mail servers."""

import pytest

from app.catalogue import Catalogue, shipped_folder

CATALOGUE = Catalogue.load(shipped_folder())


def explained(text):
    found = CATALOGUE.explain(text)
    return found.entry.code if found.entry else [entry.code for entry in found.candidates]


def translated(kind, code, *, status=None, detail=""):
    entry = CATALOGUE.translate(kind, code=code, status=status, detail=detail)
    return entry.code, str(entry.verdict)


# --- Dataverse: one number, written in five ways

NUMBERS = {
    0x80040220: "dynamics.missing-create-privilege",
    0x80042F09: "dynamics.no-security-role",
    0x80072560: "dynamics.user-not-member",
    0x80040225: "dynamics.user-disabled",
    0x80050301: "dynamics.licence-missing",
    0x80044331: "dynamics.value-too-long",
    0x8004431A: "dynamics.picklist-value",
    0x80040333: "dynamics.duplicate",
    0x80072322: "dynamics.throttled",
}
SPELLED = [
    pytest.param(spelling, code, id=spelling)
    for number, code in NUMBERS.items()
    for spelling in (f"0x{number:08x}", f"0X{number:08X}", str(number - 2**32), str(number), f"{number:08X}")
]


@pytest.mark.parametrize(("spelling", "code"), SPELLED)
def test_a_number_of_dataverse_counts_in_every_spelling(spelling, code):
    assert explained(spelling) == code
    assert explained(f"Dynamics 365 answered with error code: {spelling}, please help") == code
    assert explained(f'{{"error":{{"code":"{spelling}","message":"nothing telling"}}}}') == code
    assert translated("dynamics", spelling, status=400)[0] == code


@pytest.mark.parametrize("text", ["Order 80042309 is on its way.", "Call 2147483647 again.", "80072999"])
def test_a_number_that_only_looks_like_one_is_none(text):
    assert explained(text) == []


# --- Entra


@pytest.mark.parametrize(
    "text",
    [
        "7000222",
        "Error code: 7000222",
        "Error Code: 7000222\nRequest Id: 11111111-2222-3333-4444-555555555555",
        "Something went wrong. Error Code: 7000222 Correlation Id: 11111111-2222-3333-4444-555555555555",
    ],
)
def test_a_sign_in_code_without_its_letters_is_read_as_microsoft_s_page_shows_it(text):
    assert explained(text) == "dynamics.client-secret-expired"


def test_a_shop_s_error_code_is_no_sign_in_code():
    assert explained("Your order failed. Error code: 50126, please try another card.") == []


# --- Azure Table storage


@pytest.mark.parametrize(
    "written",
    [
        "x-ms-error-code: {}",
        "HTTP/1.1 404 Not Found\nServer: Windows-Azure-Table/1.0\nx-ms-error-code: {}",
        '{{"x-ms-error-code": "{}"}}',
        "azure.core.exceptions.HttpResponseError: no\nErrorCode:{}",
        '<error xmlns="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><code>{}</code></error>',
        "<m:error><m:code>{}</m:code></m:error>",
    ],
)
@pytest.mark.parametrize(
    ("code", "expected"),
    {
        "AuthenticationFailed": "azure_table.authentication-failed",
        "TableNotFound": "azure_table.table-not-found",
        "ResourceNotFound": "azure_table.table-not-found",
        "EntityTooLarge": "azure_table.entity-too-large",
        "ServerBusy": "azure_table.server-busy",
        "OperationTimedOut": "azure_table.internal-error",
    }.items(),
)
def test_a_code_of_azure_storage_counts_where_the_service_puts_it(written, code, expected):
    assert explained(written.format(code)) == expected


def test_an_expired_signature_and_a_wrong_directory_are_no_wrong_key():
    expired = "Server failed to authenticate the request. Signature not valid in the specified time frame: Start [x]"
    foreign = "Server failed to authenticate the request. Issuer validation failed. Issuer did not match."
    assert translated("azure_table", "AuthenticationFailed", status=403, detail=expired) == (
        "azure_table.signature-expired",
        "hold",
    )
    assert translated("azure_table", "InvalidAuthenticationInfo", status=401, detail=foreign) == (
        "azure_table.token-refused",
        "hold",
    )


# --- Salesforce


@pytest.mark.parametrize(
    ("code", "detail", "expected"),
    [
        ("invalid_grant", "inactive user", "salesforce.user-inactive"),
        ("invalid_grant", "user is locked out", "salesforce.user-locked"),
        ("invalid_grant", "audience is invalid", "salesforce.grant-refused"),
        ("inactive_org", "organization locked", "salesforce.org-locked"),
    ],
)
def test_a_refused_sign_in_names_the_user_or_the_org_where_salesforce_does(code, detail, expected):
    assert translated("salesforce", code, status=400, detail=detail) == (expected, "hold")


# --- Replies of mail servers, at every step

REPLIES = [
    # greeting and EHLO
    ("554", "No SMTP service here", "refused", "hold"),
    ("554 5.7.1", "5.7.1 Client host [203.0.113.7] blocked using zen.spamhaus.org", "relay-refused", "hold"),
    ("521", "Host does not accept mail", "refused", "hold"),
    ("501 5.5.4", "5.5.4 Invalid domain name", "refused", "hold"),
    ("502", "Command not implemented", "refused", "hold"),
    ("504 5.5.2", "5.5.2 <leads>: Helo command rejected", "refused", "hold"),
    ("454 4.7.0", "4.7.0 TLS not available due to local problem", "temporary", "retry"),
    # AUTH
    ("503 5.5.1", "5.5.1 Error: authentication not enabled", "auth-method-not-offered", "hold"),
    ("503", "AUTH command used when not advertised", "auth-method-not-offered", "hold"),
    ("525 5.7.13", "5.7.13 User account disabled", "sign-in-blocked", "hold"),
    ("534 5.7.9", "5.7.9 Application-specific password required.", "authentication-failed", "hold"),
    ("535 5.7.139", "5.7.139 Authentication unsuccessful, user password has expired.", "authentication-failed", "hold"),
    ("535 5.7.139", "5.7.139 Authentication unsuccessful, blocked by Conditional Access", "sign-in-blocked", "hold"),
    ("454 4.7.0", "4.7.0 Temporary authentication failure", "temporary", "retry"),
    # MAIL FROM
    ("530 5.7.1", "5.7.1 Authentication required", "not-authenticated", "hold"),
    ("530 5.5.1", "5.5.1 Authentication Required.", "not-authenticated", "hold"),
    ("550 5.7.1", "5.7.1 Client does not have permissions to send as this sender", "send-as-denied", "hold"),
    ("553 5.7.1", "5.7.1 <a@b.example>: Sender address rejected: not owned by user c", "send-as-denied", "hold"),
    ("550 5.1.8", "5.1.8 <a@b.example>: Sender address rejected: Domain not found", "sender-unknown", "hold"),
    ("550 5.1.1", "5.1.1 <a@b.example>: Sender address rejected: User unknown", "sender-unknown", "hold"),
    ("503", "Bad sequence of commands", "refused", "hold"),
    # RCPT TO
    ("550", "Requested action not taken: mailbox unavailable", "recipient-unknown", "hold"),
    ("550", "User unknown", "recipient-unknown", "hold"),
    ("450", "Requested mail action not taken: mailbox unavailable", "temporary", "retry"),
    ("552", "Requested mail action aborted: exceeded storage allocation", "mailbox-full", "hold"),
    ("550", "Relaying denied", "relay-refused", "hold"),
    # DATA
    ("451 4.7.0", "4.7.0 Temporary server error. Please try again later. PRX4", "temporary", "retry"),
    ("554", "Transaction failed", "refused", "hold"),
    # what nobody has heard of
    ("447", "strange", "temporary", "retry"),
    ("599 5.99.9", "5.99.9 strange", "refused", "hold"),
]


@pytest.mark.parametrize(("code", "detail", "expected", "verdict"), REPLIES)
def test_a_reply_of_a_mail_server_leads_to_what_mends_it(code, detail, expected, verdict):
    assert translated("email", code, status=int(code[:3]), detail=detail) == (f"email.{expected}", verdict)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_same_number_as_a_status_of_http_is_a_passing_fault(status):
    assert translated("email", None, status=status) == ("http.unavailable", "retry")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("unable to sign in to Dynamics CRM", "dynamics.sign-in-failed"),
        ("LastCRMException", "dynamics.sign-in-failed"),
        ("no create permission for leadsourcecode on the lead entity", "dynamics.missing-create-privilege"),
        ("tenant not found, perhaps no active subscription", "dynamics.tenant-not-found"),
        ("Tenant not found.", "dynamics.tenant-not-found"),
        ("no roles assigned", "dynamics.no-security-role"),
        ("application with identifier not found in the directory", "dynamics.application-not-found"),
        ("requested tenant identifier is not valid, nor an external domain format", "dynamics.tenant-id-invalid"),
        ("invalid client secret", "dynamics.client-secret-invalid"),
        ("request channel timed out after 00:02:00", "dynamics.timeout"),
        ("a mandatory picklist field makes leads vanish", "salesforce.picklist-mandatory"),
        ("blob storage is no longer a lead destination", "azure_blob.retired"),
    ],
)
def test_an_error_as_publishers_know_it_needs_no_system_s_name(words, code):
    assert explained(words) == code
