"""Parity with the published implementation, as a table for docs/results.md.

python -m benchmarks.experiments.parity
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.pages import markdown
from glavitu.models import GlaViTU
from tests.models.keras_files import CONFIGURATIONS, REFERENCE, inputs, layout, write_weights


def main() -> None:
    """Print the largest differences of the probabilities, for each configuration."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rows = []
    for configuration in CONFIGURATIONS:
        table = layout(configuration)
        with tempfile.TemporaryDirectory() as folder:
            path = write_weights(Path(folder) / "weights.h5", table)
            model = GlaViTU.from_keras(path, table["features"])
        image, location = inputs(table)
        with torch.inference_mode():
            output, deep = (
                logits.softmax(1)[0, 1].numpy() for logits in model(image, location, True)
            )
        expected = np.load(REFERENCE / f"{configuration}.npz")
        pairs = (
            (output[::8, ::8], expected["output"]),
            (output[200], expected["row"]),
            (output[:, 37], expected["column"]),
        )
        worst = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
        worst_deep = float(np.abs(deep[::8, ::8] - expected["deepsupervision"]).max())
        rows.append([configuration, f"{worst:.1e}", f"{worst_deep:.1e}"])
    print(markdown(["configuration", "output", "deep supervision"], rows))


if __name__ == "__main__":
    main()
