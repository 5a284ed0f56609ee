"""Declarations refuse what no reader could guess; files are found; nothing imports JAX."""

import ast
from pathlib import Path

import pytest

import caliche.data
from caliche.data import Column, DataFolder, Source, TimeAxis, find_data, list_data
from caliche.errors import InputError

COLUMNS = {"air_temperature": Column("TA", "degC")}


def test_stamp_left_out():
    with pytest.raises(InputError, match=r"part of the interval.*no stamp.*stamp = 'start'"):
        TimeAxis("time", utc_offset=0)


def test_utc_offset_left_out():
    with pytest.raises(InputError, match=r"UTC offset.*no utc_offset.*utc_offset in hours"):
        TimeAxis("time", stamp="end")


def test_unknown_stamp():
    with pytest.raises(InputError, match=r"Got 'ending'.*'end'"):
        TimeAxis("time", "ending", 0)


@pytest.mark.parametrize("offset", [-420.0, 25.0, float("nan")])
def test_impossible_offset(offset):
    with pytest.raises(InputError, match="between -14 and 14 hours"):
        TimeAxis("time", "end", offset)


def test_unknown_format():
    with pytest.raises(InputError, match=r"Got 'urban_plumber'.*'urban-plumber'"):
        Source(Path("a.nc"), "urban_plumber")


def test_unknown_stream():
    with pytest.raises(InputError, match=r"Got 'air_temp'.*'air_temperature'"):
        Source(Path("a.csv"), "table", TimeAxis("t", "end", 0), {"air_temp": Column("TA", "K")})


def test_table_without_time_or_columns():
    with pytest.raises(InputError, match="a time axis for a table"):
        Source(Path("a.csv"), "table", columns=COLUMNS)
    with pytest.raises(InputError, match="at least one column"):
        Source(Path("a.csv"), "table", TimeAxis("t", "end", 0))


def test_urban_plumber_takes_no_time_and_no_columns():
    with pytest.raises(InputError, match=r"no time axis and no columns.*Got columns air_temp"):
        Source(Path("a.nc"), "urban-plumber", columns=COLUMNS)
    with pytest.raises(InputError, match="Got a time axis"):
        Source(Path("a.nc"), "urban-plumber", TimeAxis("t", "end", 0))


def test_text_and_lists_are_welcome():
    source = Source("a.nc", "urban-plumber", accept_qc=[0, 1])
    assert source.path == Path("a.nc")
    assert source.accept_qc == (0, 1)
    assert Column("TA", "K", accept=[0, 2]).accept == (0, 2)


def test_find_data(tmp_path, monkeypatch):
    base, root = tmp_path / "study", tmp_path / "data"
    (root / "site").mkdir(parents=True)
    base.mkdir()
    (root / "site" / "a.csv").touch()
    monkeypatch.setenv("CALICHE_DATA", str(root))
    assert find_data("site/a.csv", base) == root / "site" / "a.csv"
    (base / "site").mkdir()
    (base / "site" / "a.csv").touch()
    assert find_data("site/a.csv", base) == base / "site" / "a.csv"
    assert find_data(tmp_path / "absent.csv", base) == tmp_path / "absent.csv"
    with pytest.raises(InputError, match=r"'b\.csv'.*study or .*data\. Try: set CALICHE_DATA"):
        find_data("b.csv", base)
    monkeypatch.delenv("CALICHE_DATA")
    with pytest.raises(InputError, match="CALICHE_DATA is not set"):
        find_data("b.csv", base)


def test_list_data(tmp_path, monkeypatch):
    (tmp_path / "us-a").mkdir()
    (tmp_path / "us-a" / "README.md").write_text("# Site A\n\nmore\n", encoding="utf-8")
    (tmp_path / "us-a" / "a.csv").touch()
    (tmp_path / "us-b").mkdir()
    (tmp_path / ".hidden").mkdir()
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path))
    assert list_data() == [
        DataFolder("us-a", ("README.md", "a.csv"), "Site A"),
        DataFolder("us-b", (), ""),
    ]


def test_list_data_without_the_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("CALICHE_DATA", raising=False)
    with pytest.raises(InputError, match=r"CALICHE_DATA.*it is not set.*export"):
        list_data()
    monkeypatch.setenv("CALICHE_DATA", str(tmp_path / "gone"))
    with pytest.raises(InputError, match="not a folder"):
        list_data()


def test_the_data_layer_does_not_import_jax():
    for path in Path(caliche.data.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] in ("jax", "equinox")], path.name


@pytest.mark.parametrize("path", ["~nobody-such/a.csv", "a\0.csv"])
def test_paths_that_cannot_be(tmp_path, path):
    with pytest.raises(InputError, match=r"the home of a user|NUL"):
        find_data(path, tmp_path)


def test_a_data_folder_of_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("CALICHE_DATA", "~nobody-such")
    for look in (list_data, lambda: find_data("a.csv", tmp_path)):
        with pytest.raises(InputError, match="no such user"):
            look()
