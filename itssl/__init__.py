"""itssl verifies information-theoretic statements about deterministic neural networks, numerically.

>>> import numpy as np, itssl
>>> itssl.entropy(np.random.default_rng(0).normal(size=1000), method="gaussian_plugin")
1.396 ± 0.022 nats (GaussianPlugin(), n=1000)
"""

import copyreg as _copyreg
import importlib as _importlib
import sys as _sys
import time as _time

import lazy_loader as _lazy

# Names and where they live are written once, in __init__.pyi; nothing is imported before it is used.
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
__version__ = "0.1.0"
_loaded = _time.time()  # files that change later are not those that run

# Packages in which a function has the name of a file are of lazy_loader's own module type, which pickle does not know:
# functions that use itssl could not be sent to other processes.
_copyreg.pickle(type(_sys.modules[__name__]), lambda module: (_importlib.import_module, (module.__name__,)))
