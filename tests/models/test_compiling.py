import os
import subprocess
import sys

import pytest
import torch

from glavitu.models.compiling import can_compile
from glavitu.tasks import GlaViTUTask

TINY = {"model_args": {"width": 8, "depth": 1, "heads": 2}, "image_size": 32}


@pytest.fixture(scope="module")
def compiler():
    if not can_compile("cpu"):
        pytest.skip("PyTorch cannot compile here")


def test_without_a_compiler_one_line_says_so(tmp_path):
    script = (
        "from glavitu.models.compiling import can_compile\n"
        "from glavitu.quiet import warn_plainly\n"
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
