"""The ways to look at what an x-ray saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ds_core.training.files import write_text
from ds_core.xray.page import fragment, page
from ds_core.xray.summary import as_text
from ds_core.xray.view import View

if TYPE_CHECKING:
    from rich.console import Group


class XRay(View):
    """One batch on its way through a module and back, to ``print``, show in a notebook, or open as a page.

    Its numbers are those of :class:`View`.
    """

    def to_html(self, path: str | Path, *, links: str | None = None) -> Path:
        """Writes the view as one HTML file that needs nothing else.

        Args:
            path: the file to write.
            links: what stands before the paths of sources and theory that it links to, as
                ``https://.../blob/main/``; None for links to the files on this machine, from beside ``path``.

        Returns:
            The path written.

        Raises:
            ImportError: if Jinja2 is missing, which ``ds-core[xray]`` brings.
        """
        path = Path(path)
        write_text(path, page(self, path.parent, links))
        return path

    def _repr_html_(self) -> str | None:
        try:
            return fragment(self, Path.cwd())
        except ImportError:  # the notebook shows the tables
            return None

    def __rich__(self) -> Group:
        """Returns the tables that rich shows, with colours."""
        from ds_core.xray.terminal import tables  # rich is imported by what is shown

        return tables(self)

    def __str__(self) -> str:
        """Returns the tables as plain text."""
        return as_text(self.__rich__())

    __repr__ = __str__
