"""Shapes and types in itssl's signatures are enforced while the tests run; under CI hypothesis repeats its examples."""

import os
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("itssl", "typecheck.checked")

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Answers that `itssl verify` keeps while the tests run are not among the user's."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ITSSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def every_step_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress bars are drawn at once and at each step, not after seconds and ten times in one."""
    from itssl import progress  # after the hook

    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "_tqdm", partial(progress._tqdm, mininterval=0.0))
