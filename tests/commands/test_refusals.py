"""What means nothing, or is beyond reason, is refused in one sentence before it is computed."""

from __future__ import annotations

import re

import pytest

SOIL = "soil_temperature_0.05m"


def assert_refused(outcome) -> None:
    assert outcome.code == 2, outcome
    assert re.fullmatch(r"caliche: Expected .+\. Got .+\. Try: .+[.?]\n", outcome.err), outcome.err
    assert len(outcome.err) < 1500, len(outcome.err)


SETS = {
    "end 9999": "window.end=9999-12-31T23:00:00",
    "start 0001": "window.start=0001-01-01T00:00:00",
    "zoned date 0001": "window.start=0001-01-01T00:00:00+14:00",
    "zoned date 9999": "window.end=9999-12-31T23:00:00-14:00",
    "time step 1e-5": "window.time_step=1e-5",
    "time step 1e-300": "window.time_step=1e-300",
    "time step 1e300": "window.time_step=1e300",
    "nodes": "model.nodes=1000000000000000000000000000000",
    "nodes, fewer": "model.nodes=1000000000",
    "sigma 1e308": f'observations."{SOIL}".sigma=1e308',
    "sigma 1e-320": f'observations."{SOIL}".sigma=1e-320',
    "starts 1e18": "method.starts=1000000000000000000",
    "starts 1e9": "method.starts=1000000000",
    "variation every 1e-9 d": "parameters.thermal_conductivity.variation={every_days=1e-9}",
    "variation of nothing": "parameters.thermal_conductivity.variation={every_days=0}",
    "knots outside": "parameters.thermal_conductivity.variation={at=[2030-01-01,2030-01-09]}",
    "depth 1e300": "model.depth=1e300",
    "spin-up 1e12": "window.spin_up=1e15",
    "nuisance of what is not fitted": 'nuisances.a={streams=["turbulent_heat_flux"]}',
    "nuisance named as a parameter": f'nuisances.thermal_conductivity={{streams=["{SOIL}"]}}',
    "nuisance of one stream twice": f'nuisances.clock={{streams=["{SOIL}","{SOIL}"]}}',
    "seed": "method.seed=100000000000000000000000000000",
    "average 1e300": f'observations."{SOIL}".average=1e300',
    "prior sd 1e308": "parameters.bottom_temperature.sd=1e308",
    "path of no user": 'sources.tower.path="~nobody-such/tower.csv"',
    "path with NUL": 'sources.tower.path="a\\u0000b"',
    "path of 5000": f'sources.tower.path="{"a" * 5000}"',
    "percent": 'sources.tower.time.format="%Y-%m-%d %"',
    "week": 'sources.tower.time.format="%G-%m-%d"',
    "depths twice": "model.initial_depths=[0.05,0.05]",
    "members 1e12": 'method={name="eki",options={members=1000000000000}}',
    "iterations": 'method={name="lm",options={max_iterations=1000000000000000000000000}}',
    "first guess": "parameters.thermal_conductivity.value=1e308",
    "bounds": "parameters.thermal_conductivity.upper=1e308",
    "utc offset": "sources.tower.time.utc_offset=1e300",
    "scheme options": "model.depth=-1",
    "name above": 'name="../../evil"',
    "name of a folder": 'name="/tmp/evil"',
    "name with a line": 'name="a\\nb"',
    "hidden name": 'name=".hidden"',
    "long name": f'name="{"n" * 300}"',
    "source above": 'sources."../a".path="tower.csv"',
    "no window": "window.end=2024-06-01T01:00:00",
}


@pytest.mark.parametrize("case", SETS)
def test_of_values(caliche, tower, case):
    tower.write()
    before = sorted(tower.folder.rglob("*"))
    assert_refused(caliche("estimate", "tower.toml", "--out", "run", "--set", SETS[case]))
    assert sorted(tower.folder.rglob("*")) == before


COMMANDS = {
    "name too long for a folder": ("estimate", "tower.toml", "--out", "o" * 300),
    "starts": ("estimate", "tower.toml", "--starts", "99999999999999999999"),
    "seed": ("estimate", "tower.toml", "--seed", "-1"),
    "drift": ("assimilate", "tower.toml", "--window", "1", "--drift", "thermal_conductivity=1e300"),
    "drift of nothing": ("assimilate", "tower.toml", "--window", "1", "--drift", "=0.1"),
    "drift nan": ("assimilate", "tower.toml", "--window", "1", "--drift", "nan"),
    "window nan": ("assimilate", "tower.toml", "--window", "nan"),
    "window": ("assimilate", "tower.toml", "--window", "1e300"),
    "forget": ("assimilate", "tower.toml", "--window", "1", "--forget", "1e300"),
    "json name": ("identify", "tower.toml", "--json", "x" * 300),
    "init there": ("init", "/proc/x.toml"),
    "init name": ("init", "x" * 300 + ".toml"),
    "score name": ("score", "x" * 5000),
    "report name": ("report", "x" * 5000),
    "variant of nothing": ("variants", "tower.toml", "--variant", "x:"),
    "variant of a slip": ("variants", "tower.toml", "--variant", "x: model.nods=3"),
    "variant without a name": ("variants", "tower.toml", "--variant", ": model.nodes=31"),
    "top": ("design", "tower.toml", "--top", "-5"),
    "members of a screening": ("screen", "tower.toml", "--members", "0"),
    "prior members": ("check", "tower.toml", "--prior-predictive", "-3"),
    "repeats": ("compare", "tower.toml", "--repeats", "0"),
    "repeats without end": ("compare", "tower.toml", "--repeats", "1000000000000"),
    "screen samples": ("screen", "tower.toml", "--samples", "1000000000000000000"),
    "screen seed": ("screen", "tower.toml", "--seed", "-1"),
    "simulate": ("simulate", "tower.toml", "--out", "o" * 300),
    "waves": ("history-match", "tower.toml", "--waves", "-1"),
    "cutoff": ("history-match", "tower.toml", "--cutoff", "nan"),
    "emulate runs": ("emulate", "tower.toml", "--runs", "-1"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_of_command_lines(caliche, tower, case):
    tower.write()
    before = sorted(tower.folder.rglob("*"))
    assert_refused(caliche(*COMMANDS[case]))
    assert sorted(tower.folder.rglob("*")) == before
