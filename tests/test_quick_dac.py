"""The quick DAC computes what descript-audio-codec computes."""

import warnings

import numpy as np
import pytest
import torch

from visage_lite.quick_dac import Snake, quicken


def small_dac():
    import dac

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dac.DAC(encoder_dim=8, decoder_dim=64, latent_dim=16).eval()


@pytest.mark.parametrize("scale", [0.1, 3.0, 200.0])
def test_snake_is_the_formula(scale):
    generator = torch.Generator().manual_seed(0)
    alpha = torch.nn.Parameter(torch.rand(1, 5, 1, generator=generator) * 3 + 0.1)
    x = torch.randn(3, 5, 400, generator=generator) * scale
    wanted = x.double() + (torch.sin(alpha.double() * x.double()) ** 2) / alpha.double()
    with torch.inference_mode():
        got = Snake(alpha)(x)
        strided = Snake(alpha)(x.transpose(0, 2).contiguous().transpose(0, 2))
    assert torch.allclose(got.double(), wanted, rtol=1e-6, atol=1e-6 * max(1, scale))
    assert torch.equal(got, strided)


def test_snake_can_still_be_trained():
    alpha = torch.nn.Parameter(torch.ones(1, 2, 1))
    Snake(alpha)(torch.randn(1, 2, 9)).sum().backward()
    assert alpha.grad is not None


def test_codes_and_sound_of_the_quick_dac_are_the_same():
    slow, quick = small_dac(), quicken(small_dac())
    x = torch.randn(2, 1, 44100 // 2, generator=torch.Generator().manual_seed(1)) * 0.2
    with torch.inference_mode():
        latent, codes, *_ = slow.encode(slow.preprocess(x, 44100))
        latent_quick, codes_quick, *_ = quick.encode(quick.preprocess(x, 44100))
        assert torch.allclose(latent, latent_quick, atol=1e-5)
        assert np.mean((codes == codes_quick).numpy()) > 0.999
        assert torch.allclose(slow.decode(latent), quick.decode(latent), atol=1e-5)
    assert not any("weight_g" in name for name, _ in quick.named_parameters())
    assert sum(isinstance(module, Snake) for module in quick.modules()) == 58
