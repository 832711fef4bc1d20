"""The probe runs in small processes, of which there are many."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("needs_processes")

# Documents in all code pages, once nothing can be imported any more: decoders open no files.
WITHOUT_IMPORTS = """
import sys
from media_enricher.probe.document.old_office import _CODE_PAGES
from media_enricher.probe.preloading import preload
from tests.probe.compound import compound_file, property_set
from tests.probe.samples import full
preload()
sys.meta_path.clear()
for number, encoding in _CODE_PAGES.items():
    wide = "utf-16-le" if number == 1200 else "ascii"
    said = property_set({2: "Title"}, code_page=number, encoding=wide)
    found = full(compound_file({"Workbook": bytes(5000), "\x05SummaryInformation": said}))
    print(number, found.title)
"""
HEAVY = {"prefect", "pandas", "pyarrow", "supabase", "aiohttp", "pydantic", "fastapi", "scipy"}


def test_the_probe_brings_no_heavy_package_along() -> None:
    program = (
        "import media_enricher.probe, sys; print(*{name.split('.')[0] for name in sys.modules})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(ran.stdout.split()) == set()


def test_texts_of_all_code_pages_need_no_import_once_the_decoder_is_loaded() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_IMPORTS], capture_output=True, text=True, check=True
    )
    said = [line.split() for line in ran.stdout.splitlines()]
    assert len(said) > 15
    assert {title for _, title in said} == {"Title"}
