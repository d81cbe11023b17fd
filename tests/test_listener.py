"""The listener: loudness does not matter, silence does no harm, and the shipped one knows the twelve kinds."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from visage_lite.listener import FLOOR_DB, SAMPLE_RATE, Listener, hear_kinds, load_listener
from visage_lite.scenes import ALL_KINDS, make_scene

torch.set_num_threads(1)


def test_levels_are_relative_to_the_loudest():
    time = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * 1000 * time)[None]
    levels = Listener().levels(tone)
    assert levels.max() == pytest.approx(0, abs=1e-6) and levels.min() == -1
    torch.testing.assert_close(Listener().levels(0.01 * tone), levels, atol=1e-3, rtol=0)
    quieter = torch.cat([tone, 10 ** (FLOOR_DB / 2 / 20) * tone], dim=1)
    assert Listener().levels(quieter)[0].amax(0)[-10] == pytest.approx(-0.5, abs=0.01)


def test_silence_and_short_sounds():
    listener = Listener()
    heard = hear_kinds(listener, np.zeros((2, SAMPLE_RATE)))
    assert np.isfinite(heard.probabilities).all() and heard.embeddings.shape == (2, 64)
    assert np.allclose(heard.probabilities.sum(1), 1) and set(heard.kinds) <= set(ALL_KINDS)
    for wrong in (torch.zeros(100), torch.zeros(1, 100)):
        with pytest.raises(ValueError, match="N >= 512"):
            listener(wrong)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    one, other = Listener(seed=1), Listener(seed=1)
    assert torch.equal(one.head.weight, other.head.weight)
    assert not torch.equal(one.head.weight, Listener(seed=2).head.weight)
    assert torch.equal(torch.rand(1), wanted)  # the global generator is as it was


def test_the_shipped_listener_knows_its_kinds():
    """On scenes that it has not heard; chance is 8 %."""
    seeds = range(3_600_000, 3_600_048)
    sounds = [make_scene(seed, kind=ALL_KINDS[seed % 12]).foa(SAMPLE_RATE)[0] for seed in seeds]
    right = np.array(hear_kinds(load_listener(), sounds).kinds) == [ALL_KINDS[seed % 12] for seed in seeds]
    assert right.mean() >= 0.9


def test_another_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="train_listener"):
        load_listener(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors", metadata={"kinds": "a b"})
    with pytest.raises(ValueError, match="another size"):
        load_listener(tmp_path / "other.safetensors")
