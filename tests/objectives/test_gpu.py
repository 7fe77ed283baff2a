"""Differentiable functions on a CUDA device equal those on the host."""

import pytest

import itssl


@pytest.mark.gpu
def test_device_and_host_agree():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    host = torch.randn(256, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    device = host.cuda()
    error = 1e5 * torch.finfo(torch.float64).eps
    for function in (
        lambda z: itssl.objectives.vicreg_terms(z, z.roll(1, 0), normalization="reference").total(),
        lambda z: itssl.objectives.infonce_terms(z, z.roll(1, 0)).total(),
        lambda z: itssl.logdet_entropy(z, ridge=0.1),
        lambda z: itssl.pairwise_entropy_bounds(z, var=1.0).lower,
    ):
        assert function(device).device.type == "cuda"
        assert function(device).item() == pytest.approx(function(host).item(), rel=error)
