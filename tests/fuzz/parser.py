"""Look for a body that breaks a promise: `make fuzz`. Takes libFuzzer's options, such as -runs=10000000."""

from __future__ import annotations

import resource
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["app"]):
    from tests.fuzz.property import hold

from tests.fuzz.seeds import TYPES, seeds, words

LONGEST = 4096  # bytes; a lead has about 500
MEMORY_MB = 2048


def one(data: bytes) -> None:
    """Try one input: its first byte says which content type."""
    if data:
        hold(data[1:], TYPES[data[0] % len(TYPES)])


def main() -> None:
    """Run until the options say that it is enough, or something is found."""
    with tempfile.TemporaryDirectory(prefix="leadwire-fuzz-") as made:
        folder = Path(made)
        corpus = folder / "corpus"
        corpus.mkdir()
        for number, (type_, body) in enumerate(seeds()):
            (corpus / str(number)).write_bytes(bytes([type_]) + body)
        dictionary = folder / "words"
        escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words())
        dictionary.write_text("".join(f'"{word}"\n' for word in escaped))
        options = [f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY_MB}", f"-dict={dictionary}", "-timeout=10"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[1:], str(corpus)], one)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
