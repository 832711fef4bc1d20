"""What exiftool says of files. `make setup` installs it with npm; it runs on any Perl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__).parent / "node_modules" / "exiftool-vendored.pl" / "bin" / "exiftool"


def exiftool(paths: Iterable[Path], *tags: str) -> dict[Path, dict[str, Any]]:
    """Read many files in one run of exiftool.

    Args:
        paths: the files.
        tags: the tags wanted, as in `ImageWidth`; none for all.

    Returns:
        The tags of each file that it could read anything of: numbers as numbers (`-n`), and
        `MIMEType`, `Error` or `Warning` where exiftool gives them.
    """
    by_name = {str(path): path for path in paths}
    command = ["perl", str(PROGRAM), "-json", "-n", "-fast", *(f"-{tag}" for tag in tags)]
    ran = subprocess.run(
        [*command, "-charset", "filename=utf8", "-@", "-"],
        input="\n".join(by_name),
        capture_output=True,
        text=True,
        check=False,  # it exits 1 if it could not read one file of many, and says so in its JSON
    )
    assert ran.stdout, f"exiftool said nothing: {ran.stderr}"
    return {by_name[tags.pop("SourceFile")]: tags for tags in json.loads(ran.stdout)}
