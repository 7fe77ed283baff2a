"""Training with labels in the second view's place."""

import numpy as np
import pytest
import torch
from torch import nn

from itssl.arrays import stream
from itssl.networks.encoders import embed, mlp, with_projector
from itssl.networks.training import train
from itssl.objectives.supervised import Supervised

EPS = np.finfo(float).eps


def test_it_learns_the_labels_and_leaves_the_projector_alone():
    rng = stream(0, "supervised")
    labels = rng.integers(3, size=120)
    x = 3 * np.eye(3)[labels] + 0.3 * rng.normal(size=(120, 3))
    network, head = with_projector(mlp((3, 8, 4), seed=0), mlp((4, 2), seed=1)), mlp((4, 3), seed=2)
    rows = np.hstack([x, np.eye(3)[labels]])
    run = train(
        network, Supervised(head), rows, lambda batch, generator: (batch[:, :3], batch[:, 3:]),
        seed=0, epochs=120, batch_size=120, learning_rate=1e-2, weight_decay=0.0, progress=False,
    )  # fmt: skip
    trained = run.learner.get_submodule("head")
    assert isinstance(trained, nn.Sequential)
    scores = trained(torch.tensor(embed(run.encoder.get_submodule("encoder"), x)))
    assert (scores.argmax(1).numpy() == labels).mean() > 0.95
    assert torch.equal(run.encoder.get_parameter("projector.0.weight"), network.get_parameter("projector.0.weight"))
    with torch.no_grad():
        scores = head(network.get_submodule("encoder")(torch.tensor(x)))
    untrained = float(nn.functional.cross_entropy(scores, torch.tensor(labels)))
    assert run.metrics["loss"][0] == pytest.approx(untrained, rel=1e3 * EPS)  # all rows, in another order
