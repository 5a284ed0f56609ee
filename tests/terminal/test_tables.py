"""Tables with cells of several lines, and texts in lines."""

from __future__ import annotations

from caliche.terminal.tables import print_table, table_width, wrapped


def test_cells_and_headings_of_several_lines(capsys):
    header, row = ["name", "heat_\ncapacity"], ["layered", "2.0\n2.5 (+3)"]
    print_table(header, [row, ["one", "1"]])
    assert capsys.readouterr().out.splitlines() == [
        "          heat_",
        "name      capacity",
        "───────   ────────",
        "layered   2.0",
        "          2.5 (+3)",
        "one       1",
    ]
    assert table_width([header, row]) == len("layered   capacity")


def test_a_number_stays_with_its_percent_sign():
    lines = wrapped("so much as 95 % of it", width=14).splitlines()
    assert lines == ["so much as", "  95 % of it"]
    assert wrapped("one two three", "- ", "  ", width=9).splitlines() == ["- one two", "  three"]
