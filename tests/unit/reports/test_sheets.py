"""How the page lays a table out."""

from dataclasses import replace

from reports.model import Cell, Column, Table, TableRow
from reports.render.sheets import WIDE, sheet


def table(rows: int, columns: int, *, paper: bool = False) -> Table:
    heads = tuple(Column(f"c{i}", f"head {i}", "gain") for i in range(columns))
    lines = tuple(
        TableRow(f"r{i}", f"row {i}", tuple(Cell(text=f"{i},{j}") for j in range(columns)))
        for i in range(rows)
    )
    quoted = TableRow("q", "CE*", tuple(Cell() for _ in heads), reference=True)
    return Table("t", "T", "toy", heads, (*lines, quoted) if paper else lines, 2)


def texts(found) -> list[list[str]]:
    return [[square.cell.text for square in line.squares] for line in found.lines]


def test_a_narrow_table_stays_as_it_is():
    found = sheet(table(2, WIDE))
    assert found.heads == tuple(f"head {i}" for i in range(WIDE))
    assert texts(found)[1][2] == "1,2"
    assert [line.row.label for line in found.lines if line.row] == ["r0", "r1"]


def test_a_wide_table_of_few_rows_is_turned_and_loses_no_cell():
    found = sheet(table(3, 9, paper=True))
    assert found.heads == ("row 0", "row 1", "row 2", "CE* (paper)")
    assert [line.name for line in found.lines] == [f"head {i}" for i in range(9)]
    assert texts(found)[8][:3] == ["0,8", "1,8", "2,8"]
    square = found.lines[8].squares[1]
    assert (square.row.label, square.column.key) == ("r1", "c8")
    assert not any(line.quoted for line in found.lines)


def test_a_table_with_more_rows_than_columns_is_not_turned():
    assert len(sheet(table(13, 9)).lines) == 13
    assert sheet(table(13, 9)).dense


def test_a_table_with_a_score_is_not_turned():
    """The main table is sorted by its columns, of different kinds."""
    wide = table(3, 9)
    score = replace(wide.columns[0], kind="score")
    found = sheet(replace(wide, columns=(score, *wide.columns[1:])))
    assert len(found.lines) == 3
