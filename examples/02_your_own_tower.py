"""From a tower's CSV file to an estimate with a report.

Writes a small tower file (here made up, with the habits of real ones: local time, degrees Celsius,
gaps), describes it in a TOML file, checks the description, estimates, and writes a report. Replace
the first two steps with your own file.

    python examples/02_your_own_tower.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import caliche

caliche.configure()  # double precision and fast loops; before JAX computes anything

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="caliche-"))
folder.mkdir(parents=True, exist_ok=True)

# 1. A tower file: five days every half hour, end of interval, local standard time (UTC + 1).
hours = 0.5 * np.arange(5 * 48 + 1)
angle = np.pi * (hours % 24.0 - 6.0) / 12.0
forcing = {
    "incoming_shortwave": np.maximum(0.0, 750.0 * np.sin(angle)),
    "incoming_longwave": 330.0 + 15.0 * np.sin(angle - 0.8),
    "air_temperature": 292.0 + 6.0 * np.sin(angle - 0.8) + 0.5 * np.sin(hours / 17.0),
}
truth = {
    "albedo": 0.2,
    "emissivity": 0.95,
    "combined_heat_transfer_coefficient": 28.0,
    "thermal_conductivity": 1.1,
    "volumetric_heat_capacity": 2.0e6,
    "bottom_temperature": 291.0,
}
model = caliche.SoilHeat(np.linspace(0.0, 1.0, 51), 1800.0)
initial, later = jax.jit(
    lambda params: caliche.simulate(
        model, params, {name: jnp.asarray(values) for name, values in forcing.items()}
    )[1:]
)({name: jnp.asarray(value) for name, value in truth.items()})
soil = np.vstack([initial["soil_temperature"], later["soil_temperature"]])
noise = np.random.default_rng(1).normal(0.0, 0.1, (2, len(hours)))
tower = pd.DataFrame(
    {
        "TIMESTAMP_END": pd.Timestamp("2024-06-01") + pd.to_timedelta(hours, unit="h"),
        "SW_IN": forcing["incoming_shortwave"],
        "LW_IN": forcing["incoming_longwave"],
        "TA": forcing["air_temperature"] - 273.15,
        "TS_1": soil[:, 0] - 273.15 + noise[0],
        "TS_2": soil[:, 5] - 273.15 + noise[1],  # a node every 2 cm, so the sixth is at 10 cm
    }
)
tower.loc[60:75, "TS_2"] = np.nan  # a logger without power: gaps in observations are fine
tower.to_csv(folder / "tower.csv", index=False)

# 2. What is in the file, which model, what is unknown. `caliche new` writes a longer template.
(folder / "my-tower.toml").write_text("""
title = "My tower"

[site]
name = "XX-Tow"
utc_offset = 1.0

[window]
start = 2024-06-01T00:00:00
fit_until = 2024-06-05T00:00:00
end = 2024-06-06T00:00:00
time_step = 1800

[sources.tower]
path = "tower.csv"
format = "table"

[sources.tower.time]
column = "TIMESTAMP_END"
stamp = "end"
utc_offset = 1.0

[sources.tower.columns]
incoming_shortwave = { name = "SW_IN", unit = "W m-2" }
incoming_longwave = { name = "LW_IN", unit = "W m-2" }
air_temperature = { name = "TA", unit = "degC" }
surface_temperature = { name = "TS_1", unit = "degC" }
"soil_temperature_0.10m" = { name = "TS_2", unit = "degC" }

[model]
name = "soil-heat"
depth = 1.0
nodes = 51
turbulence = "combined"
scheme = "sdirk2"
bottom = "fixed-temperature"
initial = "bottom-temperature"

[parameters.albedo]
value = 0.2
fixed = true

[parameters.combined_heat_transfer_coefficient]
value = 20.0

[parameters.thermal_conductivity]
value = 0.8

[parameters.volumetric_heat_capacity]
prior = "normal"
mean = 2.2e6
sd = 0.4e6

[parameters.bottom_temperature]
value = 288.0

[observations.surface_temperature]
sigma = 0.1

[observations."soil_temperature_0.10m"]
sigma = 0.1

[method]
name = "lm"
starts = 4
""")

# 3. Check before you wait: windows, units, gaps, gradients, cost.
experiment = caliche.load_experiment(folder / "my-tower.toml")
for line in caliche.check_experiment(experiment):
    print(line)

# 4. Estimate, and leave everything in one folder.
run = caliche.run_experiment(experiment, out=folder / "run")
print()
print(run.result.reason)
for name in run.result.names:
    p = run.result.parameters[name]
    low, high = p.interval
    print(
        f"{name}: {p.estimate:.5g} {p.unit}, 95 % interval {low:.5g} to {high:.5g}"
        f" (made with {truth[name]:.5g})"
    )
    assert abs(p.estimate - truth[name]) < 4.0 * p.sd

# 5. One page to read and to send.
print(f"Report: {caliche.write_report(run.folder)}")
