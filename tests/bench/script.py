"""(c) What a user would write: httpx to download, Pillow in a process pool to decode.

Each file is decoded whole, and gives size, type, orientation, EXIF, checksum, a dominant colour and
a difference hash.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpx
from PIL import ExifTags, Image, ImageOps

from media_enricher.supabase.urls import object_url
from tests.bench.job import Done, Job, main

Fields = dict[str, Any]


def contend(job: Job) -> Done:
    """Download in one process, decode in the others."""
    with ProcessPoolExecutor(job.processes) as pool:
        list(pool.map(time.sleep, [0.2] * job.processes))
        first_request = time.time()
        described = asyncio.run(_read_all(job, pool))
        last_result = time.time()
    return Done(
        objects=len(job.objects),
        described=described,
        first_request=first_request,
        last_result=last_result,
    )


async def _read_all(job: Job, pool: ProcessPoolExecutor) -> int:
    described = 0
    left = iter(job.objects)
    run = asyncio.get_running_loop().run_in_executor
    headers = {"Authorization": f"Bearer {job.service_key}", "apikey": job.service_key}

    async def worker(client: httpx.AsyncClient) -> None:
        nonlocal described
        for each in left:
            url = object_url(job.supabase_url, each.bucket, each.path)
            data = (await client.get(url)).raise_for_status().content
            fields = await run(pool, decode, data)
            described += bool(fields["width"])

    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(job.downloads):
            group.create_task(worker(client))
    return described


def decode(data: bytes) -> Fields:
    """All fields of an image."""
    with Image.open(io.BytesIO(data)) as image:
        fields = _header_fields(image)
        upright = ImageOps.exif_transpose(image).convert("RGB")
    hues = upright.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    grey = upright.convert("L").resize((9, 8)).tobytes()
    bits = "".join("01"[grey[i] > grey[i + 1]] for i in range(71) if i % 9 != 8)
    return fields | {
        "sha256": hashlib.sha256(data).hexdigest(),
        "dominant_color": hues,
        "dhash": int(bits, 2),
    }


def _header_fields(image: Image.Image) -> Fields:
    with warnings.catch_warnings(action="ignore"):
        exif = image.getexif()
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    width, height = image.size if orientation < 5 else image.size[::-1]
    return {
        "width": width,
        "height": height,
        "format": image.format,
        "orientation": orientation,
        "exif": {ExifTags.TAGS.get(tag, str(tag)): str(value) for tag, value in exif.items()},
        "frames": getattr(image, "n_frames", 1),
    }


if __name__ == "__main__":
    main(contend)
