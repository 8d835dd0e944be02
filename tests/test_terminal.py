from rich.table import Column

from glavitu.terminal import numeric, print_table


def test_numbers_end_at_the_right_and_cells_are_never_markup(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    rows = [["[red]", "0.5"], ["b", "10.25"]]
    print_table("a [bold]", [Column("region"), numeric("IoU")], rows, [["c", ""]])
    title, _, header, _, *rows = capsys.readouterr().out.rstrip().splitlines()
    assert title.strip() == "a [bold]"
    assert header.split() == ["region", "IoU"]
    assert [row.split() for row in rows] == [["[red]", "0.5"], ["b", "10.25"], [], ["c"]]
    assert rows[0].rstrip().endswith("  0.5")
    assert rows[0].rstrip().find("0.5") + 3 == rows[1].find("10.25") + 5


def test_where_there_is_no_terminal_a_table_has_a_hundred_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table("wide", [Column("a" * 45), Column("b" * 45)], [["c", "d"]])
    assert "a" * 45 in capsys.readouterr().out
