"""Shapes and types in itssl's signatures are enforced while the tests run."""

from jaxtyping import install_import_hook

install_import_hook("itssl", "typecheck.checked")
