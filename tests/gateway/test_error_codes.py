"""The list of error codes has those that the gateway answers with, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import media_enricher
from media_enricher.gateway.error_codes import ApiErrorCode

PACKAGE = Path(media_enricher.__file__).parent
SOURCES = [file for room in ("gateway", "orchestration") for file in (PACKAGE / room).rglob("*.py")]
TREES = [ast.parse(f.read_text(encoding="utf-8")) for f in SOURCES if f.name != "error_codes.py"]
LISTED = {(code.status, code.value) for code in ApiErrorCode}


def constants(tree: ast.AST) -> Iterator[list[object]]:
    """The positional arguments of each call; those that are no literals are None."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield [each.value if isinstance(each, ast.Constant) else None for each in node.args]


def is_slug(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", value) is not None


def answered() -> set[tuple[object, object]]:
    """The pairs of status and code that errors are raised with, where both stand side by side."""
    return {
        (status, code)
        for tree in TREES
        for status, code, *_ in (each for each in constants(tree) if len(each) > 1)
        if isinstance(status, int) and 400 <= status < 600 and is_slug(code)
    }


def test_a_code_that_is_answered_is_listed() -> None:
    assert len(answered()) > 15
    assert answered() - LISTED == set()


def test_a_code_that_is_listed_is_answered() -> None:
    literals = {value for tree in TREES for each in constants(tree) for value in each}

    assert {code for _, code in LISTED} - literals == set()
