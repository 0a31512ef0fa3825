"""The leads of one environment: what their columns take, who may write them, and what can be wrong there."""

import re
from collections import deque
from dataclasses import dataclass, field

from tests.standins.dataverse_batch import Fault

ME = "d6f8f439-40bf-4111-a05b-3833c5e9614d"


@dataclass
class Column:
    """One column: `type` as the definitions name it; `most` UTF-16 units of a text, `options` of a choice."""

    type: str = "String"
    most: int = 100
    options: tuple = ()
    create: bool = True


def columns():
    """The lead table's documented columns, as far as anybody here writes them."""
    texts = {
        "subject": 300, "firstname": 50, "middlename": 50, "lastname": 50, "companyname": 100, "jobtitle": 100,
        "emailaddress1": 100, "telephone1": 50, "mobilephone": 20, "address1_country": 80, "address1_city": 80,
        "websiteurl": 200,
    }  # fmt: skip
    found = {name: Column(most=most) for name, most in texts.items()}
    found["description"] = Column("Memo", 2000)
    found["leadsourcecode"] = Column("Picklist", options=tuple(range(1, 11)))
    found |= {
        f"donot{what}": Column("Boolean") for what in ("email", "phone", "bulkemail", "postalmail", "fax", "sendmm")
    }
    found["numberofemployees"] = Column("Integer")
    found["revenue"] = Column("Money")
    found["createdon"] = Column("DateTime", create=False)
    found["leadid"] = Column("Uniqueidentifier")
    return found


@dataclass
class Environment:
    """One environment and what can be wrong with it."""

    columns: dict = field(default_factory=columns)
    lookups: set = field(default_factory=lambda: {"ownerid", "campaignid"})  # navigation properties
    leads: dict = field(default_factory=dict)  # id → record
    member: bool = True
    roles: bool = True
    privileges: set = field(default_factory=lambda: {"prvCreateLead", "prvWriteLead", "prvReadEntity", "prvReadUser"})
    has_leads: bool = True  # the lead table comes with the sales application
    duplicate_rule: bool = True  # by e-mail address; asked only where detection isn't suppressed
    maintenance: bool = False
    page: tuple | None = None  # (status, headers, body) in place of anything else
    throttle: deque = field(default_factory=deque)  # (code, headers) for the next calls
    limit: tuple | None = None  # requests, seconds: the service's own counting
    refused: dict = field(default_factory=dict)  # lead's id → Fault
    mishap: deque = field(default_factory=deque)  # what happens to the next batch answers, after the writing
    echo: bool = True  # give Content-ID back
    operations: int = 0

    def create(self, key, record, headers):
        """Create one lead, or say why not."""
        if key in self.refused:
            raise self.refused[key]
        if not self.has_leads:
            raise Fault(404, "0x80060888", "Resource not found for the segment 'leads'.")
        if "prvCreateLead" not in self.privileges:
            text = f"Principal user (Id={ME}, type=8, roleCount=1) is missing prvCreateLead privilege (Id={ME})"
            raise Fault(403, "0x80040220", f"{text} on OTC=4 for entity 'lead'.")
        for name, value in record.items():
            self._check(name, value)
        if key in self.leads:
            if headers.get("If-None-Match") == "*":
                raise Fault(412, "0x80040237", "A record with matching key values already exists.")
            self.leads[key] |= record
            return
        self._detect(record, headers)
        self.leads[key] = dict(record)

    def delete(self, key):
        """Delete one lead, or say that there is none."""
        if self.leads.pop(key, None) is None:
            raise Fault(404, "0x80040217", f"Entity 'lead' With Id = {key} Does Not Exist")

    def _detect(self, record, headers):
        wanted = headers.get("MSCRM.SuppressDuplicateDetection", "true").lower() == "false"
        mail = record.get("emailaddress1")
        if (
            wanted
            and self.duplicate_rule
            and mail
            and mail in {one.get("emailaddress1") for one in self.leads.values()}
        ):
            text = "A record was not created or updated because a duplicate of the current record already exists."
            raise Fault(412, "0x80040333", text)

    def _check(self, name, value):
        if name.endswith("@odata.bind"):
            if name.removesuffix("@odata.bind") not in self.lookups:
                raise Fault(400, "0x80048d19", f"An undeclared property '{name}' was found in the payload.")
            return
        column = self.columns.get(name)
        if column is None:
            said = f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.lead'."
            raise Fault(
                400, "0x8006088a", f"Error identified in Payload provided by the user for Entity :'leads': {said}"
            )
        kinds = {"Boolean": bool, "Picklist": int, "Integer": int, "Money": (int, float)}.get(column.type, str)
        if not isinstance(value, kinds) or (kinds is not bool and isinstance(value, bool)):
            text = f"Cannot convert a value to target type 'Edm.{column.type}' for property '{name}'"
            raise Fault(400, "0x80048d19", f"Error identified in Payload provided by the user: {text}")
        if isinstance(value, str):
            self._check_text(name, column, value)
        if column.options and value not in column.options:
            text = f"The value {value} of '{name}' on record of type 'lead' is outside the valid range."
            raise Fault(400, "0x8004431a", text)

    @staticmethod
    def _check_text(name, column, value):
        if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", value):
            raise Fault(400, "0x80040278", f"Invalid character in field '{name}': hexadecimal value 0x01.")
        length = len(value.encode("utf-16-le")) // 2
        if length > column.most:
            text = f"The length of the '{name}' attribute of the 'lead' entity exceeded the maximum allowed length of"
            raise Fault(400, "0x80044331", f"A validation error occurred. {text} '{column.most}'.")
