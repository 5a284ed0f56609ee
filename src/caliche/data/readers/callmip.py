"""Reader of CalLMIP's daily latent and sensible heat fluxes, as observations of a model."""

from __future__ import annotations

import numpy as np
import xarray as xr

from caliche.data.assemble import Series, assemble
from caliche.data.callmip_flux import DAY, LATENT, SENSIBLE, read_daily_fluxes
from caliche.data.callmip_sites import callmip_site
from caliche.data.origin import add_note
from caliche.data.source import Source
from caliche.variables import SIGMA

_HOUR = 3_600_000_000_000  # ns


def read_callmip(source: Source) -> xr.Dataset:
    """Read a file `*_daily_aggregated_*_Flux.nc`; NEE is left out, as no model here has carbon.

    Each value stands at the end of its local standard day, in UTC by the offset of the tower, and
    is compared with the mean of the model over that day; `<stream>_sigma` is its uncertainty.

    Returns
    -------
    xr.Dataset as described at `open_source`.

    Raises
    ------
    InputError : a file that cannot be read, or of a tower that is not CalLMIP's.
    """
    fluxes = read_daily_fluxes(source.path)
    site = callmip_site(fluxes.site)
    end = (fluxes.days + np.timedelta64(1, "D")).astype("datetime64[ns]")
    times = end - np.timedelta64(round(site.utc_offset * _HOUR), "ns")
    streams = {}
    for stream in (LATENT, SENSIBLE):
        if stream in fluxes.values and source.wants(stream):
            nothing = np.zeros(len(times), bool)
            # Days that were mostly measured: what was filled is missing already.
            streams[stream] = Series(fluxes.values[stream], nothing, nothing)
            streams[stream + SIGMA] = Series(fluxes.sigma[stream], nothing, nothing)
    known: dict[str, object] = {
        "site": source.site or fluxes.site,
        "utc_offset": site.utc_offset,
        "latitude": fluxes.latitude if np.isfinite(fluxes.latitude) else site.latitude,
        "longitude": fluxes.longitude if np.isfinite(fluxes.longitude) else site.longitude,
    }
    dataset = assemble(times, streams, source.path.name, DAY, known)
    for stream in (LATENT, SENSIBLE):
        for note in fluxes.notes.get(stream, ()) if stream in streams else ():
            add_note(dataset, stream, note)
    return dataset
