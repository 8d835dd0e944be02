"""A few of the fuzzer's inputs; `python -m benchmarks.reliability.fuzz` tries them all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.reliability import mutations

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_few_inputs_of_each_family_end_as_they_should(tmp_path):
    """The children are forked, which a process with threads of a test cannot do."""
    command = [sys.executable, "-m", "benchmarks.reliability.fuzz", "--number", "4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("seed", range(20))
def test_damage_is_made_of_the_seed_alone(seed, tmp_path):
    made = []
    for name in "ab":
        path = tmp_path / name
        path.write_bytes(bytes(range(256)) * 8)
        what = mutations.damage(np.random.default_rng(seed), path)
        made.append((what, path.read_bytes() if path.is_file() else None))
        assert made[-1][1] != bytes(range(256)) * 8
    assert made[0] == made[1]


def test_a_value_is_replaced_or_taken_out_wherever_it_stands():
    value = {"a": [1, {"b": 2}]}
    assert ("a", 1, "b") in list(mutations.places(value))
    assert mutations.replaced(value, ("a", 1, "b"), 3) == {"a": [1, {"b": 3}]}
    assert mutations.replaced(value, ("a", 0), ...) == {"a": [{"b": 2}]}
    assert json.dumps(value) == '{"a": [1, {"b": 2}]}'
