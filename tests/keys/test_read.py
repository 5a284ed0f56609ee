"""Tables of TOML read by declarations: what is refused, and in which words."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from caliche.errors import InputError
from caliche.experiments.config.lad import LaDTable
from caliche.keys.declare import key, keys_of
from caliche.keys.read import read
from caliche.models import LaD


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: float = key("of the inner", unit="m", above=0, most=2)
    words: tuple[str, ...] = key("some", ())


@dataclass(frozen=True, kw_only=True)
class Outer:
    number: float = key("a number", 1.0, least=0, below=1)
    whole: int | None = key("a whole number", None, least=0)
    text: str = key("one of two", "left", choices=("left", "right"))
    either: float | Literal["estimate"] = key("either", 0.5, noun='a number or "estimate"')
    time: datetime | None = key("a time", None)
    pair: tuple[float, float] | None = key("two numbers", None, example="[low, high]")
    values: tuple[float, ...] = key("several", (), gaps=True)
    file: Path | None = key("a file", None)
    long: float = key("of another name", 2.0, name="the_long_name")
    inner: Inner | None = key("a table", None)
    named: Mapping[str, Inner] = key("tables by name", {})

    def check(self, where: str) -> None:
        if self.whole == 13:
            raise InputError(f"another number in {where}", "13", "take 12")


def outer(text: str) -> Outer:
    return read(Outer, tomllib.loads(text), "file x")


def test_values_are_of_the_types_that_are_declared():
    found = outer(
        "number = 0\nwhole = 3\ntime = 2024-06-01\npair = [1, 2]\nvalues = [1, nan]\nfile = 'a/b'\n"
        "the_long_name = 3\neither = 'estimate'\n[inner]\ndepth = 2\n[named.a]\ndepth = 1"
    )
    assert (found.number, found.whole, found.pair, found.long) == (0.0, 3, (1.0, 2.0), 3.0)
    assert isinstance(found.number, float)
    assert found.time == datetime(2024, 6, 1)
    assert found.file == Path("a/b")
    assert found.values[0] == 1.0
    assert found.values[1] != found.values[1]
    assert found.inner == found.named["a"].__class__(depth=2.0)
    assert outer("") == Outer()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("numbr = 0.5", "a known key in file x. Got 'numbr'. Try: did you mean 'number'?"),
        ("depth = 1", "a known key in file x. Got 'depth'. Try: move it to [inner]."),
        (
            "[inner]\ndepth = 1\nwhole = 3",
            "a known key in file x, [inner]. Got 'whole'. Try: move it to the top of the file.",
        ),
        ("number = '1'", "a number for number in file x. Got '1'. Try: write number = NUMBER."),
        ("number = true", "a number for number in file x. Got True"),
        ("number = nan", "a finite number for number in file x. Got nan"),
        ("number = 1.0", "a number from 0 to below 1 for number in file x. Got 1."),
        ("whole = 1.5", "a whole number for whole in file x. Got 1.5"),
        ("whole = -1", "a whole number of 0 or more for whole in file x. Got -1"),
        ("whole = 13", "another number in file x. Got 13. Try: take 12."),
        ("text = 'letf'", "text in file x to be one of left, right. Got 'letf'. Try: did you mean"),
        ("either = true", 'a number or "estimate" for either in file x. Got True'),
        ("either = 'much'", "either in file x to be one of estimate. Got 'much'"),
        ("time = 3", "a date and time for time in file x. Got 3. Try: write time = 2024-06-01T"),
        ("pair = [1]", "two numbers for pair in file x. Got [1]. Try: write pair = [low, high]."),
        ("values = [1, 'a']", "finite numbers for values in file x. Got [1, 'a']"),
        ("values = [inf]", "finite numbers for values in file x. Got [inf]"),
        ("inner = 3", "a table for inner in file x. Got 3. Try: write the table [inner]."),
        ("[inner]", "depth in file x, [inner]. Got nothing. Try: add depth = NUMBER."),
        (
            "[inner]\ndepth = 3",
            "a number above 0 and up to 2 m for depth in file x, [inner]. Got 3",
        ),
        ("[inner]\ndepth = 1\nwords = [1]", "texts for words in file x, [inner]. Got [1]. Try: wr"),
        ('[named."a.b"]', 'depth in file x, [named."a.b"]. Got nothing'),
        ("named.a = 3", "a table for a in file x, [named]. Got 3. Try: write the table [named.a]."),
    ],
)
def test_one_sentence_says_what_is_wrong_and_where(text, message):
    with pytest.raises(InputError) as caught:
        outer(text)
    assert f"Expected {message}" in str(caught.value)


def test_defaults_of_a_model_table_are_those_of_the_model():
    model, declared = LaD(1800.0), keys_of(LaDTable)
    for name in declared.keys() - {"name", "spin_up_period_days", "fluxes", "states"}:
        assert declared[name].default == getattr(model, name), name
