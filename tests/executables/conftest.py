"""A tiny executable: a curved line in two parameters that may crash, hang or leave no number."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# What the script does is decided by the mode, and by where in the ranges it is asked.
MODEL = """
import json, os, sys, time
asked = json.load(open("parameters.json"))
p, mode = asked["parameters"], sys.argv[1]
here = os.path.dirname(os.path.abspath(sys.argv[0]))
open(os.path.join(here, "log.txt"), "a").write(f"{asked['iteration']} {asked['member']}\\n")
y = [p["a"] + p["b"] * x + 0.1 * p["a"] ** 2 for x in range(3)]
if mode == "bad" and asked["iteration"] == 0:
    if asked["member"] == 3: print("the soil is gone", file=sys.stderr); sys.exit(7)
    if asked["member"] == 4: time.sleep(60)
    if asked["member"] == 5: y[2] = float("nan")
json.dump(y, open("outputs.json", "w"))
"""
CONFIG = """
title = "A line"
[model]
command = ["{python}", "-I", "-S", "{{here}}/model.py", "{mode}"]
timeout = {timeout}
workers = 2
[parameters.a]
lower = -2.0
upper = 2.0
[parameters.b]
lower = -2.0
upper = 2.0
unit = "m"
[observations]
values = [0.525, nan, 2.525]
sigma = 0.2
"""


@pytest.fixture
def study(tmp_path) -> Callable[..., Path]:
    """Writes the executable and its file; the path of the latter."""

    def write(mode: str = "good", timeout: float = 20.0) -> Path:
        (tmp_path / "model.py").write_text(MODEL)
        path = tmp_path / "line.toml"
        path.write_text(CONFIG.format(python=sys.executable, mode=mode, timeout=timeout))
        return path

    return write
