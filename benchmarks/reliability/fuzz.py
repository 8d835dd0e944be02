"""Hostile and broken files: each ends in a right result, or in an error of one line.

Inputs of eight families are made of valid ones by changing values and bytes, from a seed; each goes
to a command in a child, under 60 s and 3 GiB:

    python -m benchmarks.reliability.fuzz                           # 120 inputs a family, an hour
    python -m benchmarks.reliability.fuzz --number 10 --families names --show
    python -m benchmarks.reliability.fuzz --families YAML --only 17 --show

The number of an input and the seed make it: ``--only`` makes one again.
"""

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reliability import judging, rasters_and_vectors, tables_and_configs, weights
from benchmarks.reliability.originals import Originals

FAMILIES = {
    "GeoTIFF": rasters_and_vectors.geotiff,
    "HDF5": rasters_and_vectors.hdf5,
    "Keras": weights.keras,
    "manifest": tables_and_configs.manifest,
    "YAML": tables_and_configs.yaml_file,
    "checkpoint": weights.checkpoint,
    "vector": rasters_and_vectors.vector,
    "names": tables_and_configs.names,
}

#: Columns of the results.
COLUMNS = {
    "right": "right",
    "error": "errors",
    "traceback": "tracebacks",
    "hang": "hangs",
    "memory": "memory",
    "wrong": "wrong",
}


def fuzz(
    family: str,
    numbers: Iterable[int],
    seed: int,
    originals: Originals,
    folder: Path,
    show: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """Try inputs of a family.

    Args:
        family: A key of :data:`FAMILIES`.
        numbers: Which inputs; each is made of the seed and its number alone.
        seed: Of the inputs.
        originals: The valid files that inputs are made of.
        folder: Where inputs and outputs lie while a command runs.
        show: Print each.

    Returns:
        The row of results, and what did not end as it should, in words.
    """
    counts: Counter[str] = Counter()
    bad, slowest, largest = [], 0.0, 0.0
    for number in numbers:
        rng = np.random.default_rng([seed, list(FAMILIES).index(family), number])
        place = folder / f"{family}_{number}"
        place.mkdir(parents=True)
        case = FAMILIES[family](rng, originals, place)
        outcome = judging.run(case, place)
        counts[outcome.verdict] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.gib)
        line = (
            f"{family} {number}: {outcome.verdict} ({outcome.seconds:.1f} s, {outcome.gib:.2f} "
            f"GiB): {case.arguments[0]}: {case.what}: {outcome.why}"
        )
        if outcome.verdict not in ("right", "error"):
            bad.append(line)
        if show or outcome.verdict not in ("right", "error"):
            print(line.encode(errors="backslashreplace").decode(), flush=True)
        shutil.rmtree(place, ignore_errors=True)
    row: dict[str, Any] = {"family": family, "inputs": sum(counts.values())}
    row |= {column: counts[verdict] for verdict, column in COLUMNS.items()}
    return row | {"longest_s": round(slowest, 1), "most_gib": round(largest, 2)}, bad


def main() -> None:
    """Fuzz as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=120, help="inputs a family (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs (%(default)s)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--only", type=int, nargs="+", help="numbers of inputs to make again")
    parser.add_argument(
        "--show", action="store_true", help="print each input and what became of it"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)  # no threads of the parent, for children are forked
    judging.preload()
    numbers = options.only or range(options.number)
    with tempfile.TemporaryDirectory() as folder:
        originals = Originals.make(Path(folder, "originals"))
        rows = {
            family: fuzz(
                family, numbers, options.seed, originals, Path(folder, "inputs"), options.show
            )[0]
            for family in options.families
        }
    for row in rows.values():
        print(row)
    if options.only is None and options.number >= 120:
        from benchmarks.speed.measuring import save

        save("fuzz", {family: row | {"seed": options.seed} for family, row in rows.items()})
    if any(row["inputs"] > row["right"] + row["errors"] for row in rows.values()):
        raise SystemExit("not all ended in a right result or an error of one line")


if __name__ == "__main__":
    main()
