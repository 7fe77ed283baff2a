"""Shapes and types in itssl's signatures are enforced while the tests run; under CI hypothesis repeats its examples."""

import os

from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("itssl", "typecheck.checked")

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
