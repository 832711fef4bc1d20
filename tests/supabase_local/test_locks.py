"""One process at a time holds a folder, and looking whether one does disturbs nobody."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from supabase_local.locks import FolderLock, HeldError


def test_it_is_held_once_and_only_within_the_block(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    assert not second.is_held()
    with first.held():
        assert second.is_held()
        with pytest.raises(HeldError), second.held():
            pass
        assert second.is_held()
    assert not second.is_held()
    with second.held():
        assert first.is_held()


def test_looking_at_a_folder_makes_nothing_in_it(tmp_path: Path) -> None:
    assert not FolderLock(tmp_path / "missing" / "lock").is_held()
    assert not FolderLock(tmp_path / "lock").is_held()
    assert list(tmp_path.iterdir()) == []


def test_one_that_looks_does_not_take_another_that_looks_for_the_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("w+b") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as another process does while it looks
        assert not FolderLock(lock).is_held()
