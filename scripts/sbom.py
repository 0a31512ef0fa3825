"""A bill of materials of what `make setup` installs, as CycloneDX JSON: `sbom.py FILE`. From the lock alone."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements/runtime.txt"


def main() -> None:
    """Write it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bill = Bom()
    root = Component(name=project["name"], version=project["version"], type=ComponentType.APPLICATION)
    bill.metadata.component = root
    parts = [_component(block) for block in re.split(r"\n(?=\S)", LOCK.read_text()) if "==" in block]
    bill.components.update(parts)
    bill.register_dependency(root, parts)
    Path(sys.argv[1]).write_text(JsonV1Dot6(bill).output_as_string(indent=2) + "\n")
    print(f"{sys.argv[1]}: {len(parts)} packages")


def _component(block: str) -> Component:
    name, version = re.match(r"(\S+)==([^ \\;]+)", block).groups()  # type: ignore[union-attr]
    address = PackageURL(type="pypi", name=name, version=version)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=one) for one in re.findall(r"sha256:([0-9a-f]{64})", block)]
    return Component(name=name, version=version, purl=address, bom_ref=str(address), hashes=hashes)


if __name__ == "__main__":
    main()
