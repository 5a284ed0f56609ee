"""Small files made on the spot, and the real ones where CALICHE_DATA points to them."""

import os
from pathlib import Path

import numpy as np
import pytest

from caliche.data import Column, Source, TimeAxis


@pytest.fixture
def data_root():
    """Folder of the real data. Absent: skipped, but a failure on CI, where it would go unseen."""
    value = os.environ.get("CALICHE_DATA", "")
    if value and Path(value).is_dir():
        return Path(value)
    reason = "CALICHE_DATA does not name the folder of real data"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def write_csv(tmp_path):
    """Writes a CSV of one time column and others, and returns its path."""

    def write(times, name="tower.csv", **columns):
        lines = [",".join(["time", *columns])]
        for row, time in enumerate(times):
            lines.append(",".join([str(time), *(str(c[row]) for c in columns.values())]))
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def half_hours():
    """ISO texts every 30 minutes from 2012-05-01 00:30."""

    def make(number, step=30):
        start = np.datetime64("2012-05-01T00:00")
        return [str(start + np.timedelta64(step * (k + 1), "m")) for k in range(number)]

    return make


@pytest.fixture
def table():
    """A table source with UTC end stamps."""

    def make(path, columns, stamp="end", utc_offset=0.0, time_format=None, **options):
        axis = TimeAxis("time", stamp, utc_offset, time_format)
        mapped = {k: v if isinstance(v, Column) else Column(*v) for k, v in columns.items()}
        return Source(path, "table", axis, mapped, **options)

    return make
