"""Measurements of glavitu, as modules to run from the root of a clone or of the source archive.

:mod:`benchmarks.speed` measures speed as ratios, for docs/performance.md;
:mod:`benchmarks.experiments` trains, maps and scores, for docs/results.md;
:mod:`benchmarks.reliability` kills, fills disks and breaks files, for docs/reliability.md. What
they found lies in benchmarks/results/, from which the ``page`` of each family writes the tables of
its page.
"""

from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
