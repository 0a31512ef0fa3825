"""Hides what only development installs from a program that is measured: libraries look for what they can make use of.

Python loads this by its name from PYTHONPATH; the modules to hide stand in BENCH_HIDES.
"""

import os
import sys


class Hidden:
    """Finds nothing under the names it is given."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        if name in self._names:
            raise ModuleNotFoundError(name=name)


sys.meta_path.insert(0, Hidden(frozenset(os.environ["BENCH_HIDES"].split(","))))
