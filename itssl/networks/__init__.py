"""Deterministic networks and what they do to laws: encoders, regions, data, views and small training runs."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
