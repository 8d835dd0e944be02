"""The table of parity in docs/results.md: run from the root of a checkout.

python -m benchmarks.experiments.parity
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from glavitu.models import GlaViTU
from tests.models.keras_files import CONFIGURATIONS, REFERENCE, inputs, layout, write_weights


def main() -> None:
    print("| configuration | output | deep supervision |\n| --- | --- | --- |")
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
        print(f"| {configuration} | {worst:.1e} | {worst_deep:.1e} |")


if __name__ == "__main__":
    main()
