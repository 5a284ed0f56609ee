"""A tiny executable: a curved line in two parameters that may crash, hang or leave no number."""

from __future__ import annotations

import sys
from pathlib import Path

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


def write_study(folder: Path, mode: str = "good", timeout: float = 20.0) -> Path:
    """Write the executable and its file; the path of the latter."""
    (folder / "model.py").write_text(MODEL)
    path = folder / "line.toml"
    path.write_text(CONFIG.format(python=sys.executable, mode=mode, timeout=timeout))
    return path
