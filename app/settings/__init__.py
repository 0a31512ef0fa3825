"""The configuration: one TOML file, checked to the last key, secrets fetched from where they live.

`model` says what there is, `schema` what is allowed, `load` reads, `faults` tells what is wrong, `secret` keeps
secrets from being shown, `first_start` makes the ones that a fresh machine lacks.
"""

from app.settings.faults import ConfigError, config_error
from app.settings.first_start import issue_secrets
from app.settings.kinds import check_store
from app.settings.load import find_config, load_settings, read_document
from app.settings.model import Route, Settings, Source
from app.settings.secret import (
    MasterKeyField,
    ReferenceField,
    Secret,
    SecretField,
    decode_key,
    new_key,
    read_secret,
    write_secret,
)

__all__ = [
    "ConfigError",
    "MasterKeyField",
    "ReferenceField",
    "Route",
    "Secret",
    "SecretField",
    "Settings",
    "Source",
    "check_store",
    "config_error",
    "decode_key",
    "find_config",
    "issue_secrets",
    "load_settings",
    "new_key",
    "read_document",
    "read_secret",
    "write_secret",
]
