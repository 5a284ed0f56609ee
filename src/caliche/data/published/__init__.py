"""Published results to set beside one's own, as small tables with their sources."""

from __future__ import annotations

import csv
from importlib import resources

# Site -> file; and column -> the stream it is comparable with.
SITES = {"US-WestPhoenix": "urban-plumber-us-westphoenix.csv"}
STREAMS = {
    "SWup": "outgoing_shortwave",
    "LWup": "outgoing_longwave",
    "Qle": "latent_heat_flux",
    "Qh": "sensible_heat_flux",
    "SoilTemp": "soil_temperature_0.02m",
}


def urban_plumber(site: str) -> dict[str, dict[str, tuple[float, float]]]:
    """Model -> stream -> (mean absolute, root-mean-square error), W m-2 or K; empty elsewhere.

    Urban-PLUMBER phase 2 (doi:10.1002/qj.4589); the source is in the head of the file.
    """
    if site not in SITES:
        return {}
    text = (resources.files(__name__) / SITES[site]).read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        row["model"]: {
            stream: (float(row[f"{column}_mae"]), float(row[f"{column}_rmse"]))
            for column, stream in STREAMS.items()
            if row[f"{column}_mae"]
        }
        for row in rows
    }
