"""Running commands that have to fail."""

from pathlib import Path

from glavitu.cli import main

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "tasks" / "written_by_0_1" / "best_iou.ckpt"


def fails(arguments, capsys):
    """Run a command that has to fail with an error of one line, which is returned."""
    assert main(arguments) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("glavitu: error: ")
    return lines[-1]


def map_options(checkpoint):
    return ["--checkpoint", checkpoint, "--optical", "o.tif", "--dem", "d.tif", "--output", "out"]
