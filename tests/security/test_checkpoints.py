"""What docs/security.md says of checkpoints, sentence by sentence."""

import os
import pickle
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from glavitu import GlaViTUTask
from glavitu.cli import main
from glavitu.errors import InputError

from .commands import OLD, fails, map_options


class Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_checkpoint_runs_no_code(tmp_path, capsys):
    stored = torch.load(OLD, weights_only=True)
    torch.save(stored | {"more": Evil()}, "evil.ckpt")
    assert "cannot be read as a checkpoint" in fails(["map", *map_options("evil.ckpt")], capsys)
    Path("plain.ckpt").write_bytes(pickle.dumps(Evil()))
    assert "plain.ckpt" in fails(["map", *map_options("plain.ckpt")], capsys)
    assert not Path("pwned").exists()


def test_pickles_are_not_allowed_by_an_option(capsys):
    options = ["--checkpoint", str(OLD), "--weights_only", "false", "--data.root", "."]
    assert "never unpickled" in fails(["test", *options], capsys)


def test_a_checkpoint_chooses_no_class_of_others(capsys):
    stored = torch.load(OLD, weights_only=True)
    stored["hyper_parameters"]["model"] = "os.system"
    torch.save(stored, "evil.ckpt")
    assert "evil.ckpt" in fails(["map", *map_options("evil.ckpt")], capsys)


def test_a_checkpoint_names_no_code(tmp_path, capsys, monkeypatch):
    """The command line once imported what a checkpoint gave as the class of its loss."""
    (tmp_path / "of_a_stranger.py").write_text("open('pwned', 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    stored = torch.load(OLD, weights_only=True)
    for loss in ({"class_path": "of_a_stranger.Loss"}, "of_a_stranger.Loss"):
        stored["hyper_parameters"]["loss"] = loss
        torch.save(stored, "evil.ckpt")
        assert main(["test", "--checkpoint", "evil.ckpt", "--data.root", "nowhere"]) == 1
        assert not Path("pwned").exists()
    stored["hyper_parameters"]["model"] = "glavitu.tasks.glavitu.GlaViTUTask"  # opens files
    torch.save(stored, "evil.ckpt")
    assert "evil.ckpt" in fails(["map", *map_options("evil.ckpt")], capsys)


SMP = "segmentation_models_pytorch."


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("unet", {"encoder": "tu-hf_hub:timm/resnet18.a1_in1k"}),
        ("unet", {"encoder": "tu-local-dir:elsewhere"}),
        (SMP + "Unet", {"encoder_name": "tu-hf-hub:timm/resnet18.a1_in1k"}),
        (SMP + "Unet", {"encoder_name": "tu-resnet18", "checkpoint_path": "secret.bin"}),
        (SMP + "encoders.timm_universal.TimmUniversalEncoder", {"name": "x", "pretrained": True}),
        (SMP + "DPT", {"pretrained_cfg": {"url": "x"}}),
    ],
)
def test_a_model_of_a_checkpoint_is_built_of_nothing_else(model, arguments, capsys):
    """timm would ask its hub, even for an encoder that is not trained."""
    stored = torch.load(OLD, weights_only=True)
    stored["hyper_parameters"] |= {"model": model, "model_args": arguments}
    torch.save(stored, "evil.ckpt")
    assert "names a file or an address" in fails(["map", *map_options("evil.ckpt")], capsys)


@pytest.mark.parametrize("key", ["initial_weights", "inference", "encoder_weights"])
def test_a_checkpoint_opens_no_other_file(key, secret):
    stored = torch.load(OLD, weights_only=True)
    options = stored["hyper_parameters"]
    if key == "encoder_weights":
        options |= {"model": "unet", "model_args": {key: str(secret)}}
    else:
        options[key] = str(secret)
    torch.save(stored, "evil.ckpt")
    opened = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    with suppress(InputError):  # of weights that are none of that model
        GlaViTUTask.from_checkpoint("evil.ckpt")
    assert "evil.ckpt" in map(str, opened)
    assert str(secret) not in map(str, opened)


@pytest.mark.parametrize(
    "options",
    [{"width": 10**9}, {"depth": 10**9}, {"width": 4}, {"heads": 10**8}],
    ids=str,
)
def test_a_small_checkpoint_takes_no_large_memory(options, capsys):
    stored = torch.load(OLD, weights_only=True)
    stored["hyper_parameters"]["model_args"] |= options
    torch.save(stored, "evil.ckpt")
    assert "evil.ckpt" in fails(["map", *map_options("evil.ckpt")], capsys)


def test_a_tensor_that_declares_more_than_it_stores_is_refused(capsys):
    stored = torch.load(OLD, weights_only=True)
    stored["state_dict"]["model.output.bias"] = torch.zeros(1).expand(10**12)
    torch.save(stored, "evil.ckpt")
    assert "fewer values stored" in fails(["map", *map_options("evil.ckpt")], capsys)


def test_a_compressed_checkpoint_is_refused(capsys):
    with (
        zipfile.ZipFile(OLD) as old,
        zipfile.ZipFile("evil.ckpt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert "compressed" in fails(["map", *map_options("evil.ckpt")], capsys)
