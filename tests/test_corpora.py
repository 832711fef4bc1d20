"""The corpora are what the tests that use them believe they are."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.corpora import mixed_corpus

pytestmark = pytest.mark.usefixtures("needs_images")


def test_the_mixed_corpus_has_a_thousand_real_files_of_many_formats() -> None:
    corpus = mixed_corpus(1200)
    assert len(corpus) == 1200
    formats = Counter(path.suffix.lower() for path in corpus.values())
    assert {".jpg", ".png", ".gif", ".webp", ".tiff", ".avif", ".bmp"} <= formats.keys()
    assert corpus == mixed_corpus(1200)


def test_more_files_than_there_are_is_refused_with_the_number_there_is() -> None:
    with pytest.raises(ValueError, match=r"^100,000 files asked for, and there are 1,\d\d\d$"):
        mixed_corpus(100_000)
