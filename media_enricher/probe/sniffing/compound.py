"""What a compound file is by the streams at its top: Word, Excel, PowerPoint, Outlook and more."""

from __future__ import annotations

from media_enricher.probe.compound_files import CompoundFile
from media_enricher.probe.source import Window

_BY_ENTRY = (
    ("WordDocument", "application/msword"),
    ("Workbook", "application/vnd.ms-excel"),
    ("Book", "application/vnd.ms-excel"),
    ("PowerPoint Document", "application/vnd.ms-powerpoint"),
    ("PP40", "application/vnd.ms-powerpoint"),
    ("VisioDocument", "application/vnd.visio"),
    ("__properties_version1.0", "application/vnd.ms-outlook"),
    ("Quill", "application/x-mspublisher"),
)
"""An entry, and what it tells; the first that is there."""
_INSTALLER = bytes.fromhex("84100c0000000000c000000000000046")
"""The class of the root of a file of Windows Installer."""
UNKNOWN = "application/x-ole-storage"


def compound_type(window: Window) -> str:
    """The type; `application/x-ole-storage` for what nothing else is known of.

    Raises:
        MoreBytesError: the directory is not held.
        UnreadableError: truncated or corrupt.
    """
    file = CompoundFile(window)
    found = next((told for name, told in _BY_ENTRY if name in file.entries), None)
    return found or ("application/x-msi" if file.root.class_id == _INSTALLER else UNKNOWN)
