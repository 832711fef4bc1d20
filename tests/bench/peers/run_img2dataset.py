"""img2dataset over a list of URLs: one JSON file in, one JSON line out. In the peers' environment.

It downloads, decodes, makes a thumbnail, and writes that with size, EXIF and SHA-256 to Parquet.
"""

from __future__ import annotations

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

from img2dataset import download

DOWNLOADS = 64  # at once, of all processes together, as the loop and the script have
SHARDS_PER_PROCESS = 1  # with 3, 36 images a second instead of 43
THUMBNAIL_PIXELS = 64


def main() -> None:
    """Do the job named on the command line, and say what was done."""
    job = json.loads(Path(sys.argv[1]).read_text())
    folder, urls, processes = Path(job["folder"]), job["urls"], job["processes"]
    urls_file = folder / "urls.txt"
    urls_file.write_text("".join(f"{url}\n" for url in urls))
    download(
        str(urls_file),
        output_folder=str(folder / "images"),
        output_format="parquet",
        processes_count=processes,
        thread_count=DOWNLOADS // processes,
        number_sample_per_shard=max(2, math.ceil(len(urls) / processes / SHARDS_PER_PROCESS)),
        image_size=THUMBNAIL_PIXELS,
        resize_mode="keep_ratio_largest",
        extract_exif=True,
        compute_hash="sha256",
        disallowed_header_directives=[],  # Storage forbids robots; these objects are our own
    )
    shards = [json.loads(path.read_text()) for path in (folder / "images").glob("*_stats.json")]
    done = {
        "version": version("img2dataset"),
        "described": sum(shard["successes"] for shard in shards),
        "lost": sum(shard["failed_to_download"] + shard["failed_to_resize"] for shard in shards),
        # Of the shards: without the start of its processes, and the interval of its logger.
        "first_request": min(shard["start_time"] for shard in shards),
        "last_result": max(shard["end_time"] for shard in shards),
    }
    sys.stdout.write(f"{json.dumps(done)}\n")


if __name__ == "__main__":  # its processes import this module
    main()
