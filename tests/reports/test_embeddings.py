"""The page on embeddings: complete, escaped, with nothing to fetch and nothing to run."""

import re

import numpy as np

from itssl.evaluation.embedding_report import embedding_report
from itssl.reports.embeddings import render_embeddings, write_embeddings

NASTY = "<script>alert(1)</script>"
RNG = np.random.default_rng(0)
LABELS = np.array([NASTY, "b & c"])[RNG.integers(0, 2, size=120)]
REPORT = embedding_report(np.hstack([RNG.normal(size=(120, 2)), np.ones((120, 1))]), LABELS, name=NASTY, progress=False)
PAGE = render_embeddings(REPORT, code=f"x = {NASTY!r}")


def test_every_text_is_escaped():
    assert "<script" not in PAGE
    assert PAGE.count("&lt;script&gt;") == 4  # title, heading, label, code
    assert "b &amp; c" in PAGE


def test_nothing_is_fetched():
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", PAGE)
    assert addresses
    assert all(a.startswith("data:") for a in addresses)
    assert "default-src 'none'" in PAGE
    assert "script-src" not in PAGE
    assert not re.search(r"url\(|@import", PAGE)


def test_it_says_all_that_the_report_says():
    for line in REPORT.lines:
        assert line.quantity in PAGE
        assert line.number in PAGE
    for warning in REPORT.warnings:
        assert warning.code in PAGE
    assert "1 warning." in PAGE.replace("1 warnings", "?") or len(REPORT.warnings) != 1
    for name in REPORT.trust.measurements:
        assert f">{name}<" in PAGE
    for reason in REPORT.recommendation.reasons:
        assert reason.partition("'")[0] in PAGE
    assert PAGE.index('id="warnings"') < PAGE.index('id="numbers"') < PAGE.index('id="spectrum"')


def test_without_labels_and_warnings_it_is_shorter(tmp_path):
    clean = embedding_report(RNG.normal(size=(300, 2)), progress=False)
    assert clean.warnings == ()
    written = write_embeddings(clean, tmp_path / "deep" / "page.html")
    text = written.read_text(encoding="utf-8")
    assert "No warnings." in text
    assert "no collapse; no warnings." in text
    assert 'id="labels"' not in text
    assert text == render_embeddings(clean)  # equal reports give equal pages
