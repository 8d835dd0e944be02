import re

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import rasterio

from glavitu.cli import main
from glavitu.datasets import GlacierRasters, TileWindow

pytestmark = pytest.mark.slow


def test_the_demo_beats_the_band_ratio_on_debris_and_names_what_it_made(tmp_path, capsys):
    assert main(["demo", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    compared = out[out.index("Glacier IoU per region") :]
    table = {
        region: (float(model), float(ratio))
        for region, model, ratio in re.findall(
            r"^ (\w+) +([\d.]+) +([\d.]+) *$", compared, re.MULTILINE
        )
    }
    assert set(table) == {"HMA", "NZ", "SC"}
    model, ratio = table["HMA"]
    assert model > ratio + 0.1
    report = pd.read_csv(tmp_path / "report.csv")
    assert report.set_index("region")["iou"].round(3).to_dict() == {
        region: model for region, (model, _) in table.items()
    }
    made = ("demo.png", "demo.ckpt", "map/outlines.gpkg", "map/outlines.tif", "map/preview.png")
    for name in made:
        assert (tmp_path / name).exists()
        assert str(tmp_path / name) in out
    assert matplotlib.image.imread(tmp_path / "demo.png").shape[1] > 1000
    # The padding around a scene leaves no frame of ice along its border.
    dataset = GlacierRasters(tmp_path / "world/test", ("optical",))
    assert dataset.tiles[0].name == "HMA_test_000"
    truth = dataset[TileWindow(0, dataset.extents[0])]["mask"].numpy()
    with rasterio.open(tmp_path / "map/outlines.tif") as file:
        right = file.read(1) == truth
    border = np.ones_like(right)
    border[2:-2, 2:-2] = False
    assert right[border].mean() > right.mean() - 0.1
    # The command it suggests runs as it stands.
    command = out[out.rindex("glavitu map") :].split()
    assert main([*command[1:-1], str(tmp_path / "again")]) == 0
