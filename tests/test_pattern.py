"""The code pattern against its definition written as loops, its invariants, and the released code's ids and labels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from visage_lite.pattern import Pattern

REFERENCE = Path(__file__).parent / "reference"
SHAPES = [(1, 1, 3), (1, 9, 5), (4, 1, 3), (4, 2, 1), (4, 4, 7), (4, 9, 5), (2, 3, 4)]


def random_codes(channels, codebooks, frames, vocab=50, batch=2):
    generator = torch.Generator().manual_seed(channels + codebooks + frames)
    return torch.randint(0, vocab, (batch, channels, codebooks, frames), generator=generator)


def build_by_loops(codes, pad_id):
    batch, channels, codebooks, frames = codes.shape
    steps = 2 * frames + 1 if channels > 1 else 2 * frames
    ids = torch.full((batch, steps, channels * codebooks), pad_id)
    for c in range(channels):
        for k in range(codebooks):
            for t in range(frames):
                if c == 0 and k == 0:
                    step = 2 * t
                elif c == 0 or k == 0:
                    step = 2 * t + 1
                else:
                    step = 2 * t + 2
                ids[:, step, c * codebooks + k] = codes[:, c, k, t]
    return ids


@pytest.mark.parametrize("channels, codebooks, frames", SHAPES)
def test_build_equals_the_loops_and_revert_undoes_it(channels, codebooks, frames):
    pattern, codes = Pattern(channels, codebooks), random_codes(channels, codebooks, frames)
    ids = pattern.build(codes, 50)
    assert torch.equal(ids, build_by_loops(codes, 50))
    assert torch.equal(pattern.revert(ids), codes)
    assert ids.shape[1] == pattern.steps(frames) and pattern.frames(ids.shape[1]) == frames


@pytest.mark.parametrize("channels, codebooks, frames", SHAPES)
def test_streams_at_says_where_the_codes_are(channels, codebooks, frames):
    pattern = Pattern(channels, codebooks)
    labels = pattern.labels(pattern.build(random_codes(channels, codebooks, frames), 50), 50)
    for step in range(pattern.steps(frames)):
        assert pattern.streams_at(step, frames).tolist() == (labels[0, step] != -100).nonzero().flatten().tolist()


@pytest.mark.parametrize("kind, channels", [("ambisonics", 4), ("mono", 1)])
def test_ids_and_labels_equal_the_released_code(kind, channels):
    stored = np.load(REFERENCE / f"{kind}_model.npz")
    pattern = Pattern(channels, 9)
    codes = torch.from_numpy(stored["codes"]).transpose(1, 2).unflatten(1, (channels, 9))
    ids = pattern.build(codes, 48)
    assert np.array_equal(ids, stored["decoder_input_ids"])
    assert np.array_equal(pattern.labels(ids, 48), stored["labels"])


def test_no_code_stands_before_what_it_depends_on():
    offsets = Pattern(4, 9).offsets.view(4, 9)
    assert offsets[0, 0] == 0  # the coarse code of W comes first,
    assert (offsets[1:, 0] > offsets[0, 0]).all()  # the coarse codes of Y, Z, X see it,
    assert (offsets[:, 1:] > offsets[:, :1]).all()  # and the fine codes of a channel see its coarse one


def test_each_code_is_predicted_once():
    pattern, codes = Pattern(4, 9), random_codes(4, 9, 6)
    labels = pattern.labels(pattern.build(codes, 50), 50)
    assert torch.equal((labels != -100).sum(1), torch.full((2, 36), 6))


def test_wrong_shapes_are_refused():
    pattern = Pattern(4, 9)
    for codes in (torch.zeros(2, 4, 8, 5), torch.zeros(4, 9, 5), torch.zeros(2, 1, 9, 5), torch.zeros(2, 4, 9, 0)):
        with pytest.raises(ValueError, match="codes must be"):
            pattern.build(codes.long(), 50)
    for ids in (torch.zeros(2, 10, 36), torch.zeros(2, 11, 35), torch.zeros(11, 36), torch.zeros(2, 1, 36)):
        with pytest.raises(ValueError, match="ids must be"):
            pattern.revert(ids.long())
    with pytest.raises(ValueError, match="step 11"):
        pattern.streams_at(11, 5)
    with pytest.raises(ValueError, match="at least one"):
        Pattern(0, 9)
