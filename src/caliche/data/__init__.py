"""Site data: tower files in, checked SI streams out. xarray at the edge, numpy inside, no JAX."""

from caliche.data.locate import DataFolder, find_data, list_data
from caliche.data.merge import merge_sources
from caliche.data.open import open_source
from caliche.data.origin import Origin, measured_rows, stream_notes, stream_origins
from caliche.data.quality import check_range, check_scale, check_time, utc_text
from caliche.data.readers.fluxnet import read_fluxnet
from caliche.data.readers.table import read_table
from caliche.data.readers.urban_plumber import read_urban_plumber
from caliche.data.site import derive_surface_temperature, select_window
from caliche.data.source import Column, Fluxnet, Source, TimeAxis
from caliche.data.units import conversion, to_si

__all__ = [
    "Column",
    "DataFolder",
    "Fluxnet",
    "Origin",
    "Source",
    "TimeAxis",
    "check_range",
    "check_scale",
    "check_time",
    "conversion",
    "derive_surface_temperature",
    "find_data",
    "list_data",
    "measured_rows",
    "merge_sources",
    "open_source",
    "read_fluxnet",
    "read_table",
    "read_urban_plumber",
    "select_window",
    "stream_notes",
    "stream_origins",
    "to_si",
    "utc_text",
]
