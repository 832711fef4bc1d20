"""`make bench-memory` counts what it says: so many objects, all of which can be read."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from media_enricher.demo.filling import settings_of
from media_enricher.dev.prefect_server import PrefectServer
from media_enricher.supabase.client import connect
from supabase_local import LocalStack
from tests.bench import memory
from tests.bench.stage import Stage

ORIGINALS = 3


def test_rows_that_name_the_same_bytes_can_be_read(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "ORIGINALS", ORIGINALS)
    paths = [tmp_path / "000" / f"{number:06}.txt" for number in range(ORIGINALS)]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_text(path.name)
    stage = Stage(stack, cast("PrefectServer", None), tmp_path)  # only runs need Prefect
    stage.upload(memory.BUCKET, paths)

    memory.grow(stage, 7)
    memory.grow(stage, 5)

    objects = [each.path for each in stage.objects(memory.BUCKET, limit=100)]
    assert objects == [
        *(f"000/{path.name}" for path in paths),
        *(f"copy-00000{copy}/000/{path.name}" for copy in (1, 2) for path in paths),
    ]
    bucket = connect(settings_of(stack)).storage.from_(memory.BUCKET)
    assert bucket.download(objects[-1]) == paths[-1].name.encode()
    memory.grow(stage, 10)
    assert len(stage.objects(memory.BUCKET, limit=100)) == 12
