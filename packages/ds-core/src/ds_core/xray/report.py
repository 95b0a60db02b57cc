"""The ways to look at what an x-ray saw."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group

from ds_core.training.files import write_text
from ds_core.xray.page import fragment, page
from ds_core.xray.summary import as_text
from ds_core.xray.terminal import tables
from ds_core.xray.view import View


class XRay(View):
    """One batch on its way through a module and back, to ``print``, show in a notebook, or open as a page.

    Its numbers are those of :class:`View`.
    """

    def to_html(self, path: str | Path) -> Path:
        """Writes the view as one HTML file that needs nothing else.

        Args:
            path: the file to write.

        Returns:
            The path written.
        """
        path = Path(path)
        write_text(path, page(self))
        return path

    def _repr_html_(self) -> str:
        return fragment(self)

    def __rich__(self) -> Group:
        """Returns the tables that rich shows, with colours."""
        return tables(self)

    def __str__(self) -> str:
        """Returns the tables as plain text."""
        return as_text(self.__rich__())

    __repr__ = __str__
