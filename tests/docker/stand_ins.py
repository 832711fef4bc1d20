"""Images in the place of those that nobody here can pull: made of Debian's own packages.

They have the very names that the Dockerfile and the compose file have for them, so that both are
used as they are.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.docker.podman import ROOT, Podman

DOCKERFILE = ROOT / "deployments" / "Dockerfile"
COMPOSE = ROOT / "deployments" / "compose.yaml"
_DATABASE = """\
FROM {base}
RUN apt-get update -qq && apt-get install -qq --no-install-recommends postgresql >/dev/null
COPY entrypoint /usr/local/bin/
ENTRYPOINT ["entrypoint"]
"""
_ENTRYPOINT = """\
#!/bin/sh -eu
# As the official image: a cluster with one superuser and one database, open to all with a password.
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
install -d -o postgres -g postgres -m 700 "$data"
if [ ! -e "$data/PG_VERSION" ]; then
  echo "$POSTGRES_PASSWORD" >/tmp/password
  $as_postgres "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --pwfile=/tmp/password \\
    --locale=C.UTF-8 >/dev/null
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  echo "create database $POSTGRES_DB" | $as_postgres "$bin/postgres" --single -D "$data" postgres
fi
exec $as_postgres "$bin/postgres" -D "$data" -c listen_addresses='*'
"""


def base_image() -> str:
    """The image that the Dockerfile starts from."""
    found = re.search(r"^FROM (\S+) AS python$", DOCKERFILE.read_text(), re.MULTILINE)
    assert found, "the Dockerfile's first stage is named python"
    return found[1]


def database_image() -> str:
    """The image of Prefect's database."""
    found = re.search(r"image: (\S+/postgres:\S+)", COMPOSE.read_text())
    assert found, "the compose file has a Postgres"
    return found[1]


def make_base(engine: Podman) -> None:
    """Debian with its own Python, unless it is there."""
    if engine.has_image(base_image()):
        return
    with tempfile.TemporaryDirectory() as folder:
        system, archive = Path(folder) / "system", Path(folder) / "system.tar"
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", packages, "bookworm", system],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for unused in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc"):
            shutil.rmtree(system / unused)
        subprocess.run(["tar", "-C", system, "-cf", archive, "."], check=True)
        engine.podman("import", archive, base_image())


def make_database(engine: Podman) -> None:
    """Debian's Postgres, which is started as the official image is."""
    with tempfile.TemporaryDirectory() as folder:
        entrypoint = Path(folder) / "entrypoint"
        entrypoint.write_text(_ENTRYPOINT)
        entrypoint.chmod(0o755)
        dockerfile = Path(folder) / "Dockerfile"
        dockerfile.write_text(_DATABASE.format(base=base_image()))
        engine.build(dockerfile, database_image(), Path(folder))
