"""Documents in the real decoder process, which opens no file."""

from __future__ import annotations

from media_enricher.models import AssetStatus, Depth
from tests.engine.conftest import MakePool, Put
from tests.probe.documents import book, pdf, word


def test_documents_are_read_and_drawn_where_no_file_can_be_opened(
    make_pool: MakePool, put: Put
) -> None:
    objects = [put("a.pdf", pdf(pages=2)), put("a.docx", word()), put("a.epub", book())]
    for depth in (Depth.FULL, Depth.HEADER):
        outcomes = make_pool(workers=1).enrich(objects, depth)
        for outcome in outcomes:
            assert outcome.asset.status is AssetStatus.ENRICHED, outcome.asset.error_message
            assert outcome.asset.title == "A title"
        assert outcomes[0].asset.page_count == 2
        has_picture = outcomes[0].asset.blurhash is not None
        assert has_picture == (depth is Depth.FULL)
