"""The shape of report.json, as a JSON schema that is shipped with the package."""

import json
from importlib.resources import files
from typing import Any


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of ``Ledger.to_dict()``, ``report.json`` and ``itssl verify --json``.

    >>> schema()["properties"]["level"]
    {'enum': ['quick', 'default', 'full']}
    """
    return json.loads((files("itssl.reports") / "report.schema.json").read_text(encoding="utf-8"))
