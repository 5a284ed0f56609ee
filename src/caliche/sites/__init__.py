"""Many sites at once: a collection of towers or grid cells in, one table of parameters out.

Names are loaded when first used; they need JAX.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caliche._lazy import lazy_names

if TYPE_CHECKING:
    from caliche.sites.collection import Collection as Collection
    from caliche.sites.collection import open_collection as open_collection
    from caliche.sites.processes import Share as Share
    from caliche.sites.processes import join as join
    from caliche.sites.twins import synthetic as synthetic

_HOME = {
    "Collection": "caliche.sites.collection",
    "open_collection": "caliche.sites.collection",
    "Share": "caliche.sites.processes",
    "join": "caliche.sites.processes",
    "synthetic": "caliche.sites.twins",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME)
