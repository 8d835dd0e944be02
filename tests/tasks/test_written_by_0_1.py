"""A checkpoint and a configuration that 0.1 wrote, before its files were moved.

Made with the code of commit 6b9d842 by `glavitu fit` on a small synthetic world of SC and HMA
(`--model.model_args '{"width": 2, "depth": 1, "heads": 1}' --data.patch_size 32 --data.batch_size 2
--data.steps_per_epoch 2 --trainer.max_epochs 1`); probabilities.npy is what that code then said of
`torch.rand(1, 8, 32, 32)` with seed 0.
"""

from pathlib import Path

import numpy as np
import torch

from glavitu import GlaViTUTask
from glavitu.cli import main

WRITTEN = Path(__file__).parent / "written_by_0_1"
CHECKPOINT = str(WRITTEN / "best_iou.ckpt")


def test_its_checkpoint_says_what_it_said():
    task = GlaViTUTask.from_checkpoint(CHECKPOINT)
    image = torch.rand(1, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        probabilities = task.predict_probabilities(image)
    expected = np.load(WRITTEN / "probabilities.npy")
    np.testing.assert_allclose(probabilities, expected, atol=1e-5, rtol=0)
    assert task.calibration is not None


def test_its_run_goes_on_and_is_tested(world, capsys):
    options = ["--config", str(WRITTEN / "config.yaml"), "--data.root", str(world)]
    options += ["--ckpt_path", CHECKPOINT]
    assert main(["fit", *options, "--trainer.max_epochs", "2"]) == 0
    assert "after 2 steps" in capsys.readouterr().out
    assert main(["test", "--ckpt_path", CHECKPOINT, "--data.root", str(world)]) == 0
