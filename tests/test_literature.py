"""The page on the literature says what the experiments' READMEs say, and these are complete."""

import pytest

from experiments.literature import FOLDER, PAGE, entries, page


def test_page_is_current():
    assert page() == PAGE.read_text(), "run `make literature`"


def test_publications_of_the_field_are_repeated():
    """Each that the estimators and the theory rest on, found by its authors."""
    papers = " ".join(entry.paper for entry in entries())
    expected = (
        "Kraskov", "Gao, Ver Steeg", "Gao, Kannan", "Kolchinsky & Tracey", "Saxe", "Goldfeld", "Czyż", "Poole",
        "Song & Ermon", "McAllester", "Berrett", "Zhouyin & Liu", "Shwartz-Ziv",
    )  # fmt: skip
    assert [authors for authors in expected if authors not in papers] == []


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.folder)
def test_pictures_are_there(entry):
    assert (FOLDER / entry.folder / "figure.png").exists()
    assert entry.question.endswith(("?", "."))
    assert entry.short.endswith(".")
    assert entry.differences.endswith(".")


def test_a_missing_paragraph_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "README.md").write_text("# A question?\n\n**Literature.** Somebody (1999).\n")
    monkeypatch.setattr("experiments.literature.FOLDER", tmp_path)
    with pytest.raises(AssertionError, match="half: the README lacks one of"):
        entries()
