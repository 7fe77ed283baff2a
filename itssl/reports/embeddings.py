"""A report on embeddings as one self-contained HTML page: nothing is fetched when it is read, and no script runs."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from itssl.estimate import Estimate, format_with_error
from itssl.evaluation.embedding_report import EmbeddingReport
from itssl.reports.derivation import picture
from itssl.reports.page import source, write_text

_MOST_CLASSES = 30
CODE = """import numpy as np
import itssl

z = np.load("embeddings.npy")        # (n, d), one row an embedding
labels = np.load("labels.npy")       # (n,); leave out where there are none
itssl.embedding_report(z, labels)"""


def render_embeddings(report: EmbeddingReport, *, code: str = CODE) -> str:
    """The page as HTML: warnings first, the numbers, the spectrum, the recommended estimator, labels, measurements.

    Names and labels are escaped; style and picture are inside; it follows the reader's light or dark scheme. ``code``
    is shown as what repeats the report.

    >>> import numpy as np
    >>> from itssl.evaluation.embedding_report import embedding_report
    >>> report = embedding_report(np.random.default_rng(0).normal(size=(100, 2)), name="<z>")
    >>> "<title>itssl: &lt;z&gt;</title>" in render_embeddings(report)
    True
    """
    import itssl

    environment = Environment(
        loader=PackageLoader("itssl.reports", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found, n, spectrum = len(report.warnings), report.collapse.n, report.spectrum
    largest = sorted(report.classes.items(), key=lambda item: -item[1])[:_MOST_CLASSES]
    verdict = {"none": "no collapse", "dimensional": "dimensional collapse", "complete": "complete collapse"}
    facts = {"rows": n, "columns": report.collapse.d, "classes": len(report.classes) or "no labels"}
    words = (
        f"Spectrum of {len(spectrum)} directions: variances {spectrum[0]:.3g} to {spectrum[-1]:.3g}, effective rank "
        f"{report.collapse.effective_rank:.4g}"
    )
    chosen = report.recommendation.estimator
    return environment.get_template("embeddings.html.j2").render(
        report=report,
        style=Markup(source("page.css")),
        summary=f"{verdict[report.collapse.verdict]}; {found or 'no'} warning{'s' * (found != 1)}",
        facts=facts | {"itssl": itssl.__version__},
        picture=picture(report.figure(), words),
        chosen="none: any number would mislead" if chosen is None else repr(chosen),
        classes=[(label, count, f"{count / n:.1%}") for label, count in largest],
        measurements=[(name, _number(m)) for name, m in report.trust.measurements.items()],
        code=code,
    )


def write_embeddings(report: EmbeddingReport, path: str | Path, *, code: str = CODE) -> Path:
    """Write :func:`render_embeddings` to a file, making its folder; returns the path. Raises OSError as writing.

    >>> from tempfile import TemporaryDirectory
    >>> import itssl
    >>> report = itssl.embedding_report(itssl.stream(0, "page").normal(size=(100, 2)))
    >>> with TemporaryDirectory() as folder:
    ...     write_embeddings(report, f"{folder}/embeddings.html").name
    'embeddings.html'
    """
    return write_text(path, render_embeddings(report, code=code))


def _number(m: Estimate | float) -> str:
    if isinstance(m, Estimate):
        return f"{format_with_error(m.value, m.standard_error)} {m.units}"
    return f"{m:.4g}"
