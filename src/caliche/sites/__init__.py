"""Many sites at once: a collection of towers or grid cells in, one table of parameters out.

Names are loaded when first used; they need JAX.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caliche.sites.collection import Collection as Collection
    from caliche.sites.collection import open_collection as open_collection
    from caliche.sites.processes import Share as Share
    from caliche.sites.processes import join as join
    from caliche.sites.run import Progress as Progress
    from caliche.sites.run import SitesRun as SitesRun
    from caliche.sites.run import estimate_sites as estimate_sites
    from caliche.sites.twins import synthetic as synthetic

_HOME = {
    "Collection": "collection",
    "open_collection": "collection",
    "Share": "processes",
    "join": "processes",
    "Progress": "run",
    "SitesRun": "run",
    "estimate_sites": "run",
    "synthetic": "twins",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"caliche.sites.{_HOME[name]}"), name)
    raise AttributeError(f"module 'caliche.sites' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
