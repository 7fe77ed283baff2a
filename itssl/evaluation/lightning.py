"""The monitor of activations as a callback of Lightning, which is not needed and is not loaded unless it is there."""

import importlib
import importlib.util
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from itssl.evaluation.monitor import ActivationMonitor

PACKAGES = ("lightning.pytorch", "pytorch_lightning")


class MonitorHooks:
    """What :func:`lightning_callback` does at each of Lightning's hooks; ``monitor`` holds the readings.

    It needs nothing of Lightning: any loop that calls the hooks in their order may use it.
    """

    monitor: ActivationMonitor | None = None

    def __init__(
        self,
        layers: str | Sequence[str] | None,
        labels: Callable[[Any], Any] | None,
        log: bool,
        options: dict[str, Any],
    ) -> None:
        super().__init__()
        self.layers, self.of_batch, self.log, self.options = layers, labels, log, options
        self._logged = 0

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        """Attach to the module that is trained; a second fit of the same module goes on counting."""
        if self.monitor is None or self.monitor.network is not pl_module:
            self.monitor, self._logged = ActivationMonitor(pl_module, self.layers, **self.options), 0
        self.monitor.attach()

    def on_train_batch_start(self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        """Take the labels of the batch."""
        if self.monitor is not None and self.of_batch is not None:
            self.monitor.labels(self.of_batch(batch))

    def on_train_batch_end(self, trainer: Any, pl_module: nn.Module, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log what was measured since, as ``itssl/layer/quantity``, by the module's own ``log_dict``."""
        if self.monitor is None or not self.log:
            return
        new = self.monitor.record()[self._logged :]
        self._logged += len(new)
        for row in new:
            known = {key: v for key, v in row.items() if isinstance(v, float) and math.isfinite(v)}
            numbers = {key: v for key, v in known.items() if not key.endswith("_error")}
            log_dict: Any = getattr(pl_module, "log_dict")  # noqa: B009, a method of LightningModule alone
            log_dict({f"itssl/{row['layer']}/{key}": value for key, value in numbers.items()})

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        """Remove the hooks."""
        self._detach()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        """Remove the hooks."""
        self._detach()

    def teardown(self, trainer: Any, pl_module: nn.Module, stage: str) -> None:
        """Remove the hooks, whatever was left out before."""
        self._detach()

    def _detach(self) -> None:
        if self.monitor is not None:
            self.monitor.detach()


def lightning_callback(
    layers: str | Sequence[str] | None = None, *, labels: Callable[[Any], Any] | None = None, log: bool = True,
    **options: Any,
) -> Any:  # fmt: skip
    """An :class:`ActivationMonitor` as a callback: ``Trainer(callbacks=[lightning_callback("encoder")])``.

    It inherits from the ``Callback`` of ``lightning`` or ``pytorch_lightning``, whichever is installed; where none is,
    the object has the same hooks for other loops. After training ``callback.monitor`` has the readings
    (``.to_pandas()``). A step is a pass of the layer in training mode, so the sanity check and validation do not count,
    and with accumulated gradients there are more steps than updates.

    Parameters
    ----------
    layers: as in ActivationMonitor. None watches ``module(x)`` itself, which many a ``training_step`` never calls.
    labels: from a batch to the labels of its rows, e.g. ``lambda batch: batch[1]``.
    log: whether to pass readings to the module's ``log_dict``, and so to the trainer's loggers.
    options: as in ActivationMonitor: every, rows, views, reduce, measures, seed.

    >>> callback = lightning_callback("encoder", every=50, rows=512)
    >>> callback.monitor is None  # before training starts
    True
    """
    bases = (MonitorHooks, *_callback_class())
    return type("MonitorCallback", bases, {"__doc__": MonitorHooks.__doc__})(layers, labels, log, options)


def _callback_class() -> tuple[type, ...]:
    """Lightning's Callback, of the package that is loaded or installed."""
    for name in sorted(PACKAGES, key=lambda name: name not in sys.modules):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            return (importlib.import_module(name).Callback,)
    return ()
