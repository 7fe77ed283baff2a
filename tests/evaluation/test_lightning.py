"""The callback under hooks called in Lightning's order by a stand-in; with Lightning itself where it is installed."""

import importlib.util
import math
import sys
import types

import pytest
import torch
from torch import nn

from itssl.evaluation import ActivationMonitor, lightning_callback
from itssl.evaluation.lightning import PACKAGES

X = torch.randn(120, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
INSTALLED = any(importlib.util.find_spec(name.partition(".")[0]) for name in PACKAGES)


class Module(nn.Module):
    """What a LightningModule offers that the callback uses."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 3)
        self.logged = []

    def training_step(self, batch):
        return self.encoder(batch[0]).square().mean()

    def log_dict(self, values):
        self.logged.append(values)


class Trainer:
    """Calls the hooks that Lightning 2 calls in `fit`, in its order: sanity check, batches, validation, and the end."""

    def __init__(self, callback, *, fails=False):
        self.callback, self.fails = callback, fails

    def _call(self, name, *arguments):
        getattr(self.callback, name, lambda *_: None)(self, *arguments)

    def fit(self, module):
        batches = [(X[i : i + 40], Y[i : i + 40]) for i in (0, 40, 80)]
        try:
            for hook in ("setup", "on_fit_start"):
                self._call(hook, module, *["fit"] * (hook == "setup"))
            module.eval()
            module.training_step(batches[0])  # the sanity check
            module.train()
            self._call("on_train_start", module)
            for _ in range(2):
                self._call("on_train_epoch_start", module)
                for i, batch in enumerate(batches):
                    self._call("on_train_batch_start", module, batch, i)
                    loss = module.training_step(batch)
                    loss.backward()
                    if self.fails:
                        raise ArithmeticError
                    self._call("on_train_batch_end", module, {"loss": loss}, batch, i)
                module.eval()
                module.training_step(batches[0])  # validation
                module.train()
                self._call("on_train_epoch_end", module)
            self._call("on_train_end", module)
            self._call("on_fit_end", module)
        except ArithmeticError as error:
            self._call("on_exception", module, error)
        self._call("teardown", module, "fit")


@pytest.fixture
def alone(monkeypatch):
    """Whatever is installed, Lightning is not found."""
    find = importlib.util.find_spec
    hidden = {name.partition(".")[0] for name in PACKAGES}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in hidden else find(name, *a))


def test_training_batches_are_measured_and_nothing_else(alone):
    callback, module = lightning_callback("encoder", every=2, rows=40, labels=lambda batch: batch[1]), Module()
    Trainer(callback).fit(module)
    assert isinstance(callback.monitor, ActivationMonitor)
    assert [reading.step for reading in callback.monitor.readings] == [0, 2, 4]  # of 6 batches
    assert all(math.isfinite(reading.label_information) for reading in callback.monitor.readings)
    assert not module.encoder._forward_hooks
    assert [set(values) for values in module.logged] == [
        {f"itssl/encoder/{name}" for name in ("entropy", "effective_rank", "std", "label_information")}
    ] * 3
    assert module.logged[1]["itssl/encoder/entropy"] == callback.monitor.readings[1].entropy


def test_hooks_are_gone_after_an_exception_and_a_second_fit_goes_on(alone):
    callback, module = lightning_callback("encoder", every=1, rows=20, log=False), Module()
    Trainer(callback, fails=True).fit(module)
    assert not module.encoder._forward_hooks
    assert len(callback.monitor.readings) == 1
    Trainer(callback).fit(module)
    assert [reading.step for reading in callback.monitor.readings] == list(range(7))
    assert module.logged == []
    other = Module()
    Trainer(callback).fit(other)
    assert callback.monitor.network is other
    assert len(callback.monitor.readings) == 6


@pytest.mark.parametrize("name", PACKAGES)
def test_it_inherits_from_the_callback_that_is_there(name, monkeypatch, alone):
    class Callback:
        """What isinstance checks ask for."""

        state_key = "x"

    known = importlib.util.find_spec  # hides both
    package = types.ModuleType(name)
    package.__dict__["Callback"] = Callback
    monkeypatch.setitem(sys.modules, name.partition(".")[0], types.ModuleType(name.partition(".")[0]))
    monkeypatch.setitem(sys.modules, name, package)
    top = name.partition(".")[0]
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: object() if n == top else known(n, *a))
    callback = lightning_callback("encoder", every=3, rows=40)
    assert Callback in type(callback).__mro__
    module = Module()
    Trainer(callback).fit(module)
    assert len(callback.monitor.readings) == 2


@pytest.mark.skipif(not INSTALLED, reason="Lightning is not installed: pip install pytorch-lightning")
@pytest.mark.filterwarnings("ignore")
def test_with_lightning_itself(tmp_path):
    name = next(n for n in PACKAGES if importlib.util.find_spec(n.partition(".")[0]))
    pl = importlib.import_module(name)

    class Real(pl.LightningModule):
        """The smallest module that trains and validates."""

        def __init__(self):
            super().__init__()
            self.encoder = nn.Linear(4, 3)

        def training_step(self, batch, batch_idx):
            return self.encoder(batch[0]).square().mean()

        def validation_step(self, batch, batch_idx):
            self.encoder(batch[0])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=40)
    callback, module = lightning_callback("encoder", every=2, rows=40, labels=lambda batch: batch[1]), Real()
    trainer = pl.Trainer(
        max_epochs=2, callbacks=[callback], accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    assert [reading.step for reading in callback.monitor.readings] == [0, 2, 4]
    assert "itssl/encoder/entropy" in trainer.callback_metrics
    assert not module.encoder._forward_hooks
