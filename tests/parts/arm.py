"""Documents of Azure Resource Manager against the models of Microsoft's own library, which are made from its API."""

import enum
import types
import typing

from azure.mgmt.appcontainers import models
from azure.mgmt.appcontainers.models import _models

SHAPES = {list: "list", dict: "object"}
SCALARS = {str: str, int: int, float: (int, float), bool: bool}


def faults(document, kind=models.ContainerApp, path="$"):
    """Give what is wrong: unknown, missing and read-only keys, other types, words that the API doesn't know."""
    wanted = _alternatives(kind)
    words = [one for one in wanted if isinstance(one, type) and issubclass(one, enum.Enum)]
    if words:
        known = {member.value for word in words for member in word}
        return [] if document in known else [f"{path}: {document!r} is none of {sorted(known)}"]
    (kind,) = wanted
    origin = typing.get_origin(kind)
    if origin in SHAPES:
        if not isinstance(document, origin):
            return [f"{path}: {document!r} is no {SHAPES[origin]}"]
        each = typing.get_args(kind)[-1]
        parts = document.items() if origin is dict else enumerate(document)
        return [fault for name, one in parts for fault in faults(one, each, f"{path}[{name!r}]")]
    if kind in SCALARS:
        fits = isinstance(document, SCALARS[kind]) and (kind is bool or not isinstance(document, bool))
        return [] if fits else [f"{path}: {document!r} is no {kind.__name__}"]
    return _of_model(document, kind, path)


def _of_model(document, kind, path):
    if not isinstance(document, dict):
        return [f"{path}: no object"]
    hints = typing.get_type_hints(kind, {**vars(_models), "_models": models})
    fields = {one._rest_name: (name, one) for name, one in kind({})._attr_to_rest_field.items()}
    found = [f"{path}.{name}: unknown" for name in document.keys() - fields.keys()]
    for key, (name, one) in fields.items():
        needed = type(None) not in typing.get_args(hints[name])
        if key not in document:
            found += [f"{path}.{key}: missing"] if needed and one._visibility != ["read"] else []
        elif one._visibility == ["read"]:
            found.append(f"{path}.{key}: read-only")
        else:
            found += faults(document[key], hints[name], f"{path}.{key}")
    return found


def _alternatives(kind):
    """Give what a value may be, without None; of a word of an enumeration only that."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return [kind]
    given = [one for one in typing.get_args(kind) if one is not type(None)]
    return [one for one in given if one is not str] or [str]
