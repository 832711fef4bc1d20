"""A stack that does not start says why, in the error itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from supabase_local import LocalStack, LocalStackError, postgrest

pytestmark = pytest.mark.usefixtures("needs_stack")


def test_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "postgrest"
    program.write_text("#!/bin/sh\necho the reason >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    assert postgrest.find_postgrest() == program
    with pytest.raises(LocalStackError, match="PostgREST did not start: the reason"):
        LocalStack.start(tmp_path / "stack")
