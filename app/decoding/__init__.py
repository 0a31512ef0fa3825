"""From bytes to a plain document: encodings, JSON, forms; every way in which that fails is a Rejection."""

from app.decoding.bodies import FORM_TYPES, is_json, media_type, read_body, read_json
from app.decoding.plain import Rejection, keep

__all__ = ["FORM_TYPES", "Rejection", "is_json", "keep", "media_type", "read_body", "read_json"]
