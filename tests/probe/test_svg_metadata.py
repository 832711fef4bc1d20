"""The RDF that editors write into an SVG: who drew what, and under which licence."""

from __future__ import annotations

import pytest

from media_enricher.models import AssetStatus, Findings
from tests.probe.samples import full, header

pytestmark = pytest.mark.unit

SPACES = (
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
)
CC = 'xmlns:cc="http://creativecommons.org/ns#"'
OLD_CC = 'xmlns:cc="http://web.resource.org/cc/"'
LICENCE = "http://creativecommons.org/licenses/by/4.0/"
WORK = (
    "<cc:Work rdf:about=''><dc:format>image/svg+xml</dc:format><dc:title>A title</dc:title>"
    "<dc:creator><cc:Agent><dc:title>Ada</dc:title></cc:Agent></dc:creator>"
    "<dc:rights><cc:Agent><dc:title>Grace</dc:title></cc:Agent></dc:rights>"
    f"<cc:license rdf:resource='{LICENCE}'/><dc:description>What it shows</dc:description>"
    "<dc:subject><rdf:Bag><rdf:li>harbour</rdf:li><rdf:li>night</rdf:li></rdf:Bag></dc:subject>"
    "</cc:Work>"
)


def svg(metadata: str, *, root: str = "", before: str = "") -> bytes:
    return (
        f'{before}<svg xmlns="http://www.w3.org/2000/svg" {root} width="20" height="10">'
        f"<metadata>{metadata}</metadata><g/></svg>"
    ).encode()


def both(data: bytes) -> list[Findings]:
    return [full(data, "a.svg"), header(data, "a.svg")[0]]


FORMS = {
    "on the root": svg(f"<rdf:RDF>{WORK}</rdf:RDF>", root=f"{SPACES} {CC}"),
    "on the RDF": svg(f"<rdf:RDF {SPACES} {CC}>{WORK}</rdf:RDF>"),
    "old names": svg(f"<rdf:RDF {SPACES} {OLD_CC}>{WORK}</rdf:RDF>"),
    "behind a doctype": svg(
        f"<rdf:RDF {SPACES} {CC}>{WORK}</rdf:RDF>", before="<!DOCTYPE svg SYSTEM 'svg.dtd'>"
    ),
    "UTF-16": svg(f"<rdf:RDF {SPACES} {CC}>{WORK}</rdf:RDF>").decode().encode("utf-16"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_rdf_of_an_svg_is_read(form: str) -> None:
    for found in both(FORMS[form]):
        assert (found.status, found.width) == (AssetStatus.ENRICHED, 20)
        assert (found.title, found.description) == ("A title", "What it shows")
        assert (found.creator, found.copyright) == ("Ada", "Grace")
        assert (found.license_url, found.tags) == (LICENCE, ["harbour", "night"])


@pytest.mark.parametrize(
    "metadata",
    [
        "words",
        "<rdf:RDF>" + "<a>" * 500,
        f"<rdf:RDF {SPACES}><dc:title>No node</dc:title></rdf:RDF>",
        f"<rdf:RDF {SPACES}><x:Work>unbound</x:Work></rdf:RDF>",
    ],
    ids=["none", "nested", "without a node", "unbound"],
)
def test_what_is_no_rdf_costs_the_svg_nothing(metadata: str) -> None:
    for found in both(svg(metadata)):
        assert (found.status, found.width, found.title) == (AssetStatus.ENRICHED, 20, None)


def test_the_title_of_the_drawing_counts_without_rdf() -> None:
    data = svg("").replace(b"<metadata></metadata>", b"<title>Drawn</title>")
    assert [found.title for found in both(data)] == ["Drawn", "Drawn"]
