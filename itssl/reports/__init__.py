"""What a run found, for people: a terminal table, figures, and one self-contained HTML page."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
