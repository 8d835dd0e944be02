"""Checkpoints of strangers: what a training cannot go on from is told before it goes on."""

import pytest
import torch

from glavitu.errors import InputError
from glavitu.tasks.stored import check_progress


def progress(**changes):
    moments = {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2)}
    states = {0: dict(moments), 1: dict(moments)}
    stored = {
        "epoch": 1,
        "global_step": 3,
        "loops": {},
        "callbacks": {},
        "lr_schedulers": [],
        "optimizer_states": [{"state": states, "param_groups": []}],
    }
    return stored | changes


def test_a_sound_one_is_gone_on_from():
    check_progress(progress(), "a.ckpt")
    check_progress(progress(optimizer_states=[{"state": {}, "param_groups": []}]), "a.ckpt")


@pytest.mark.parametrize("key", ["exp_avg", "step"])
def test_a_moment_that_is_lost_names_its_place(key):
    stored = progress()
    del stored["optimizer_states"][0]["state"][1][key]
    with pytest.raises(InputError, match=r"a\.ckpt: .*optimizer_states\.0\.state\.1 differs"):
        check_progress(stored, "a.ckpt")


def test_a_moment_that_is_no_number_names_its_place():
    stored = progress()
    stored["optimizer_states"][0]["state"][0]["exp_avg"] = ...
    with pytest.raises(InputError, match=r"state\.0\.exp_avg is Ellipsis, but should be numbers"):
        check_progress(stored, "a.ckpt")
