"""A folder whose parts are kept: the same run goes on, another one is refused."""

from __future__ import annotations

import json

import pytest

from caliche._version import __version__
from caliche.errors import InputError
from caliche.files.manifest import MANIFEST
from caliche.files.whole_file import is_aside
from caliche.runs.kinds import kind_of
from caliche.runs.parts import Parts

SAME = {"data": "the same data"}


def parts(path, command="variants"):
    return Parts(path, command, "finished", SAME)


def test_a_run_goes_on_where_it_was(tmp_path):
    first = parts(tmp_path / "run")
    assert first.begun is None
    first.begin({"data": "a", "note": 1}, "title = 'x'")
    first.write("one", {"value": float("inf")})
    again = parts(tmp_path / "run")
    again.begin({"data": "a", "note": 2})
    assert again.begun == {"command": "variants", "caliche": __version__, "data": "a", "note": 1}
    assert again.read("one") == {"value": float("inf")}
    assert again.read("two") is None
    found = kind_of(tmp_path / "run")
    assert found is not None
    assert found.command == "variants"
    again.remove()
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.toml", MANIFEST]


def test_another_run_is_refused(tmp_path):
    parts(tmp_path).begin({"data": "a"})
    with pytest.raises(InputError, match=r"a run with the same data as the one in the folder"):
        parts(tmp_path).begin({"data": "b"})
    with pytest.raises(InputError, match="which holds something else"):
        parts(tmp_path, "sites")
    said = json.loads((tmp_path / MANIFEST).read_text("utf-8"))
    (tmp_path / MANIFEST).write_text(json.dumps(said | {"caliche": "0.0"}), "utf-8")
    with pytest.raises(InputError, match="the same version of caliche"):
        parts(tmp_path).begin({"data": "a"})


@pytest.mark.parametrize("there", ["notes.txt", MANIFEST])
def test_what_is_there_is_not_touched(tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(InputError, match="which holds something else"):
        parts(tmp_path)
    assert (tmp_path / there).read_text() == "mine"


def test_a_file_on_its_way_is_nothing(tmp_path):
    (tmp_path / f".{MANIFEST}-0123.aside").write_text("{")
    assert all(map(is_aside, tmp_path.iterdir()))
    parts(tmp_path).begin({"data": "a"})
    with pytest.raises(InputError, match="can be written"):
        parts(tmp_path / MANIFEST / "inside")
