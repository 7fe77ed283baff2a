"""The README's worked diffs apply, and what follows them runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTION = (ROOT / "README.md").read_text().partition("## Adding an estimator")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```diff\n(.*?)```.*?```py\n(.*?)```", SECTION, flags=re.S)


def test_there_is_one_of_each():
    assert [re.findall(r"^\+\+\+ b/itssl/(\w+)/", diff, flags=re.M) for diff, _ in EXAMPLES] == [
        ["estimators"], ["distributions"], ["claims"],
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=["estimator", "law", "claim"])
def test_example_applies_and_runs(example, tmp_path):
    diff, code = example
    shutil.copytree(ROOT / "itssl", tmp_path / "itssl", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for command, given in ((["git", "apply", "-"], diff), ([sys.executable, "-W", "error", "-c", code], None)):
        done = subprocess.run(
            command, input=given, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
