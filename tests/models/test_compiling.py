import os
import subprocess
import sys

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from glavitu.datamodules import GlacierDataModule
from glavitu.models.compiling import can_compile
from glavitu.tasks import GlaViTUTask

pytestmark = pytest.mark.slow

TINY = {"model_args": {"width": 8, "depth": 1, "heads": 2}, "image_size": 32}


@pytest.fixture(scope="module")
def compiler():
    if not can_compile("cpu"):
        pytest.skip("PyTorch cannot compile here")


def test_without_a_compiler_one_line_says_so(tmp_path):
    script = (
        "from glavitu.models.compiling import can_compile\n"
        "from glavitu.cli.quiet import warn_plainly\n"
        "warn_plainly()\n"
        "assert not can_compile('cpu')\n"
        "assert not can_compile('cpu')\n"
    )
    environment = os.environ | {"CXX": "/bin/false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("glavitu: warning: the model runs uncompiled, which is slower")
    assert "C++ compiler" in line


def test_a_compiled_step_has_the_loss_and_gradients_of_a_plain_one(compiler):
    torch.manual_seed(0)
    plain = GlaViTUTask(**TINY)
    compiled = GlaViTUTask(**TINY)
    compiled.load_state_dict(plain.state_dict())
    compiled.model.to(memory_format=torch.channels_last)
    image, mask = torch.rand(2, 8, 32, 32), torch.randint(2, (2, 32, 32))
    losses = plain.training_loss, torch.compile(compiled.training_loss, dynamic=False)
    expected, found = (loss(image, mask, None) for loss in losses)
    torch.testing.assert_close(found, expected)
    expected.backward()
    found.backward()
    pairs = zip(plain.model.named_parameters(), compiled.model.parameters(), strict=True)
    for (name, ours), theirs in pairs:
        torch.testing.assert_close(
            theirs.grad, ours.grad, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: name + text
        )


class Losses(Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.kept = []

    def on_train_batch_end(self, trainer, task, outputs, *of_batch):
        self.kept.append(outputs["loss"].item())


def test_a_compiled_fit_takes_the_steps_of_a_plain_one(compiler, world):
    def fit(**options):
        seed_everything(0)
        task, losses = GlaViTUTask(**TINY, lr=1e-2, **options), Losses()
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            limit_val_batches=0,
            callbacks=[losses],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        data = GlacierDataModule(str(world), patch_size=32, batch_size=2, steps_per_epoch=4)
        trainer.fit(task, data)
        return losses.kept

    counters = torch._dynamo.utils.counters
    torch.compiler.reset()
    counters.clear()
    plain = fit()
    assert not counters["stats"]["unique_graphs"]
    compiled = fit(compile=True)
    assert counters["stats"]["unique_graphs"]
    assert len(compiled) == 4
    assert compiled == pytest.approx(plain, rel=1e-3)
