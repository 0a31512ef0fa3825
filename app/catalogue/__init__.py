"""What an error means and what to do about it: the words are data, in `config/errors`."""

from app.catalogue.catalogue import Catalogue, Explanation, shipped_folder
from app.catalogue.entry import CatalogueError, Entry
from app.retry import Verdict

__all__ = ["Catalogue", "CatalogueError", "Entry", "Explanation", "Verdict", "shipped_folder"]
