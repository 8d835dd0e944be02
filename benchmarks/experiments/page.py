"""Writes the tables of docs/results.md from what the experiments found.

python -m benchmarks.experiments.page
python -m benchmarks.experiments.page --check
"""

from benchmarks import ROOT, pages
from benchmarks.experiments import (
    few_tiles,
    generalisation,
    map_scenes,
    overlap,
    strategies,
    uncertainty,
    unknown_region,
    unlike_training,
)

PAGE = ROOT / "docs" / "results.md"
TABLES: pages.Tables = {
    "few_tiles_test": few_tiles.test,
    "few_tiles_validation": few_tiles.validation,
    "strategies": strategies.strategies,
    "tracks": strategies.tracks,
    "calibration": uncertainty.calibration,
    "means_of_uncertainty": uncertainty.means_of_uncertainty,
    "generalisation": generalisation.means,
    "generalisation_of_regions": generalisation.regions,
    "overlaps": overlap.overlaps,
    "unknown_region": unknown_region.unknown_region,
    "unlike_training": unlike_training.mistakes,
    "like_training": unlike_training.false_alarms,
    "map_scenes": map_scenes.scenes,
}

if __name__ == "__main__":
    pages.main(PAGE, TABLES, "benchmarks.experiments.page")
