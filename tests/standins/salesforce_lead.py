"""The Lead table of the Salesforce stand-in: what a record may hold, rules over it, and two languages to ask it."""

import re
from datetime import datetime, timedelta

SYSTEM = {"Id", "CreatedById", "CreatedDate", "OwnerId"}


class Refused(Exception):  # noqa: N818  (it is what it is)
    """A whole call that is refused."""

    def __init__(self, status, code, message="refused"):
        super().__init__(message)
        self.status, self.code = status, code


def described_field(name, kind, length=0, **changes):
    """A field as `describe` gives it."""
    values = [{"value": one, "label": one, "active": True} for one in changes.pop("values", ())]
    return {
        "name": name, "type": kind, "length": length, "createable": True, "updateable": True, "nillable": True,
        "defaultedOnCreate": kind == "boolean", "restrictedPicklist": False, "externalId": False, "unique": False,
        "filterable": kind != "textarea", "picklistValues": values,
    } | changes  # fmt: skip


def standard_fields():
    fields = [
        described_field("Id", "id", 18, createable=False, nillable=False, defaultedOnCreate=True),
        described_field("FirstName", "string", 40),
        described_field("LastName", "string", 80, nillable=False),
        described_field("Company", "string", 255, nillable=False),
        described_field("Email", "email", 80),
        described_field("Phone", "phone", 40),
        described_field("MobilePhone", "phone", 40),
        described_field("Title", "string", 128),
        described_field("Country", "string", 80),
        described_field("Description", "textarea", 32000),
        described_field("LeadSource", "picklist", 255, values=("Web", "Phone Inquiry", "Other")),
        described_field("Rating", "picklist", 255, values=("Hot", "Warm", "Cold")),
        described_field("Status", "picklist", 255, values=("Open", "Closed"), nillable=False, defaultedOnCreate=True),
        described_field("HasOptedOutOfEmail", "boolean", nillable=False),
        described_field("DoNotCall", "boolean", nillable=False),
        described_field("OwnerId", "reference", 18, nillable=False, defaultedOnCreate=True),
        described_field("CreatedDate", "datetime", nillable=False, defaultedOnCreate=True, createable=False),
        described_field("CreatedById", "reference", 18, nillable=False, defaultedOnCreate=True, createable=False),
    ]
    return {one["name"]: one for one in fields}


class LeadTable:
    """Records, and the org's own rules: change its attributes to make an org of another kind."""

    def __init__(self, *, now, user_id):
        self.now, self.user_id = now, user_id
        self.fields = standard_fields()
        self.records = []
        self.recycle_bin = []
        self.deletable = True
        self.createable = True
        self.duplicate_rule = None  # "alert" or "block": by e-mail address
        self.country_labels = None  # a set when State and Country picklists are on
        self.trigger = lambda _record: None  # an automation: gives (code, message) to refuse
        self.index_lag = timedelta()
        self.page_size = 2000

    def add(self, name, kind, length=0, **changes):
        self.fields[name] = described_field(name, kind, length, **changes)

    def change(self, name, **changes):
        self.fields[name] |= changes

    def hide(self, *names):
        """Take fields out of our user's sight."""
        for name in names:
            del self.fields[name]

    def country_picklists(self, **labels):
        """Switch State and Country picklists on: code=label."""
        self.country_labels = set(labels.values())
        self.add("CountryCode", "picklist", 10, values=tuple(labels), restrictedPicklist=True)

    def described(self):
        return {"name": "Lead", "createable": self.createable, "fields": list(self.fields.values())}

    # --- writing -------------------------------------------------------------

    def write(self, records, *, external, saves, assigned):
        if external is not None and not self.fields.get(external, {}).get("externalId"):
            raise Refused(404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible")
        return [self._written(one, external, saves=saves, assigned=assigned) for one in records]

    def _written(self, given, external, *, saves, assigned):
        record = {name: value for name, value in given.items() if name != "attributes"}
        old = [one for one in self.records if external and one.get(external) == record.get(external)]
        error = self._fault(record, external, old=old, saves=saves)
        if error:
            code, message, *fields = error
            return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": fields}]}
        if old:
            old[0].update(record)
        else:
            stamp = {"CreatedById": self.user_id, "CreatedDate": self.now(), "OwnerId": assigned}
            self.records.append(record | {"Id": f"00QHs{len(self.records) + len(self.recycle_bin):010}IAV"} | stamp)
        told = {"id": (old or self.records[-1:])[0]["Id"], "success": True, "errors": []}
        return told | ({"created": not old} if external else {})

    def _fault(self, record, external, *, old, saves):
        if not self.createable:
            return "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"
        if external and not record.get(external):
            return "MISSING_ARGUMENT", f"{external} not specified"
        if len(old) > 1:
            return "DUPLICATE_EXTERNAL_ID", f"{external}: more than one record found for external id field"
        fault = next(filter(None, (self._field_fault(name, value) for name, value in record.items())), None)
        others = [one for one in self.records if one not in old]
        fault = fault or self._missing(record) or self._country_fault(record) or self.trigger(record)
        return fault or self._not_unique(record, others) or self._duplicate(record, others, saves=saves)

    def _field_fault(self, name, value):
        told = self.fields.get(name)
        if told is None:
            return "INVALID_FIELD", f"No such column '{name}' on sobject of type Lead", name
        if not told["createable"]:
            return "INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {name}.", name
        return self._value_fault(told, name, value)

    @staticmethod
    def _value_fault(told, name, value):
        if (told["type"] == "boolean") != isinstance(value, bool):
            return "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean", name
        if isinstance(value, str) and told["length"] and len(value.encode("utf-16-le")) // 2 > told["length"]:
            return "STRING_TOO_LONG", f"{name}: data value too large: {value} (max length={told['length']})", name
        listed = {one["value"] for one in told["picklistValues"] if one["active"]}
        if told["restrictedPicklist"] and value not in listed:
            return "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"bad value for restricted picklist field: {value}", name
        if told["type"] == "email" and not re.fullmatch(r"[^@\s,;<>()]+@[^@\s.]+(\.[^@\s.]+)+", value):
            return "INVALID_EMAIL_ADDRESS", f"Email: invalid email address: {value}", name
        return None

    def _missing(self, record):
        required = (one for one in self.fields.values() if not one["nillable"] and not one["defaultedOnCreate"])
        empty = [one["name"] for one in required if record.get(one["name"]) in (None, "")]
        return (
            ("REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(empty)}]", *empty) if empty else None
        )

    def _country_fault(self, record):
        if self.country_labels is None or "Country" not in record or record["Country"] in self.country_labels:
            return None
        text = "There's a problem with this country, even though it may appear correct."
        return "FIELD_INTEGRITY_EXCEPTION", text, "Country"

    def _not_unique(self, record, others):
        for name in (one["name"] for one in self.fields.values() if one["unique"]):
            for other in others:
                if record.get(name) and other.get(name) == record[name]:
                    text = f"duplicate value found: {name} duplicates value on record with id: {other['Id']}"
                    return "DUPLICATE_VALUE", text, name
        return None

    def _duplicate(self, record, others, *, saves):
        lets = self.duplicate_rule is None or (saves and self.duplicate_rule == "alert")
        alike = [one for one in others if one.get("Email") == record.get("Email", one)]
        return ("DUPLICATES_DETECTED", "Use one of these records?") if alike and not lets else None

    def delete(self, id_):
        """Put a lead into the recycle bin; ids have 15 or 18 characters, and a wrong one names nothing."""
        found = [one for one in self.records if one["Id"] == id_]
        if not self.deletable:
            error = "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id"
        elif any(one["Id"] == id_ for one in self.recycle_bin):
            error = "ENTITY_IS_DELETED", "entity is deleted"
        elif not found:
            error = "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"
        else:
            self.records.remove(found[0])
            self.recycle_bin.append(found[0])
            return {"id": id_, "success": True, "errors": []}
        return {"id": id_, "success": False, "errors": [{"statusCode": error[0], "message": error[1], "fields": []}]}

    # --- asking --------------------------------------------------------------

    def query(self, soql):
        """The part of SOQL that is asked here."""
        found = re.fullmatch(r"SELECT ([\w,]+) FROM Lead WHERE (.+)", soql)
        if not found:
            raise Refused(400, "MALFORMED_QUERY", "unexpected token")
        wanted = found[1].split(",")
        rules = [self._condition(one) for one in found[2].split(" AND ")]
        self._known(*wanted)
        return [_row(one, wanted) for one in self.records if all(rule(one) for rule in rules)]

    def _condition(self, text):
        if listed := re.fullmatch(r"(\w+) IN \(('[^'\\]*'(?:,'[^'\\]*')*)\)", text):
            name, values = listed[1], {one.casefold() for one in re.findall(r"'([^']*)'", listed[2])}
            self._known(name, filtered=True)
            return lambda record: str(record.get(name)).casefold() in values
        if same := re.fullmatch(r"(\w+)='([^'\\]*)'", text):
            self._known(same[1], filtered=True)
            return lambda record: record.get(same[1]) == same[2]
        if since := re.fullmatch(r"CreatedDate>=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)", text):
            return lambda record: record["CreatedDate"] >= datetime.fromisoformat(since[1])
        raise Refused(400, "MALFORMED_QUERY", "unexpected token")

    def _known(self, *names, filtered=False):
        for name in names:
            if name not in self.fields:
                raise Refused(400, "INVALID_FIELD", f"No such column '{name}' on entity 'Lead'.")
            if filtered and not self.fields[name]["filterable"]:
                raise Refused(400, "INVALID_FIELD", f"field '{name}' can not be filtered in a query call")

    def search(self, sosl):
        """The part of SOSL that is asked here; like the real index, it is late by `index_lag`."""
        found = re.fullmatch(r"FIND \{(.+)\} IN ALL FIELDS RETURNING Lead\(([\w,]+)\)", sosl)
        if not found:
            raise Refused(400, "MALFORMED_SEARCH", "unexpected token")
        terms = found[1].split(" OR ")
        if any(re.search(r"""(?<!\\)[?&|!{}\[\]()^~*:"'+-]""", one) for one in terms):
            raise Refused(400, "MALFORMED_SEARCH", "a reserved character that isn't escaped")
        if len(found[1]) > 4000:  # operators are lost: all words are wanted at once
            return []
        words = [re.sub(r"\\(.)", r"\1", one).casefold() for one in terms]
        seen = [one for one in self.records if one["CreatedDate"] <= self.now() - self.index_lag]
        return [_row(one, found[2].split(",")) for one in seen if _words(one) & set(words)]


def _words(record):
    """Cut texts as the index does: at punctuation, and between letters and digits."""
    texts = " ".join(value for name, value in record.items() if isinstance(value, str) and name not in SYSTEM)
    return set(re.findall(r"[^\W\d_]+|\d+", texts.casefold()))


def _row(record, names):
    return {"attributes": {"type": "Lead"}} | {name: record.get(name) for name in names}
