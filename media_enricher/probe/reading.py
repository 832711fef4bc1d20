"""What becomes of an object whose reader stops: more bytes, a status, or what is known so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from media_enricher.models import AssetStatus, ErrorCode, Findings
from media_enricher.probe.source import MoreBytesError, UnreadableError, Window

Header = TypeVar("Header")


def read_header(
    reader: Callable[[Window, Header], None],
    window: Window,
    header: Header,
    findings: Findings,
    most: int,
) -> bool:
    """Have a format's reader fill the header, and note in the findings if it refuses the object.

    Args:
        reader: of the format.
        window: on the object.
        header: filled as far as the reader comes.
        findings: get the error, if there is one.
        most: bytes that may be read of the object.

    Returns:
        Whether reading was broken off, because what is missing lies too far on.

    Raises:
        MoreBytesError: these bytes are needed, and may be asked for.
    """
    try:
        reader(window, header)
    except MoreBytesError as more:
        if window.may_ask(more, most):
            raise
        return True
    except UnreadableError as unreadable:
        refuse(findings, unreadable)
    return False


def refuse(findings: Findings, unreadable: UnreadableError) -> None:
    """Note why an object can't be read. What was found before stays."""
    is_unsupported = unreadable.code is ErrorCode.UNSUPPORTED_TYPE
    findings.status = AssetStatus.UNSUPPORTED if is_unsupported else AssetStatus.FAILED
    findings.error_code = unreadable.code
    findings.error_message = str(unreadable)
    findings.warnings = None  # the error says it
