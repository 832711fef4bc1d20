"""The probe of video and sound: one reader of headers for each container, and a picture of it."""

from __future__ import annotations

from collections.abc import Callable

from media_enricher.models import AssetStatus, Findings, Kind
from media_enricher.probe import image
from media_enricher.probe.av import (
    aiff,
    bare,
    flac,
    iso_media,
    matroska,
    mpeg_audio,
    ogg,
    poster,
    riff,
)
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.fields.from_picture import fill_from_picture
from media_enricher.probe.fields.labels import TRUNCATED
from media_enricher.probe.metadata.position import from_iso6709
from media_enricher.probe.metadata.sources import fill_metadata
from media_enricher.probe.metadata.times import Moment, moment
from media_enricher.probe.metadata.values import Values
from media_enricher.probe.reading import read_header
from media_enricher.probe.sniff import sniff
from media_enricher.probe.source import MoreBytesError, ProbeOptions, UnreadableError, Window

MAX_HEADER_BYTES = 1_000_000
"""The most that a header probe reads. What is not known by then stays unknown."""
MAX_RANGE_BYTES = 15 * 1024 * 1024
"""The most that full depth reads of a file that is too large to be read whole."""
NO_POSTER = "no-poster"
"""The warning of a video of which no frame could be decoded here."""
_MAX_COVER = 16 * 1024 * 1024

_Reader = Callable[[Window, AvHeader], None]

_FORMATS: dict[str, tuple[str, _Reader]] = {
    "audio/aac": ("aac", bare.read_adts),
    "audio/aiff": ("aiff", aiff.read),
    "audio/amr": ("amr", bare.read_amr),
    "audio/flac": ("flac", flac.read),
    "audio/mp4": ("mp4", iso_media.read),
    "audio/mpeg": ("mp3", mpeg_audio.read),
    "audio/ogg": ("ogg", ogg.read),
    "audio/wav": ("wav", riff.read_wav),
    "audio/webm": ("webm", matroska.read),
    "audio/x-matroska": ("matroska", matroska.read),
    "video/3gpp": ("3gp", iso_media.read),
    "video/3gpp2": ("3g2", iso_media.read),
    "video/mp2t": ("mpegts", poster.describe),
    "video/mp4": ("mp4", iso_media.read),
    "video/mpeg": ("mpeg", poster.describe),
    "video/ogg": ("ogg", ogg.read),
    "video/quicktime": ("mov", iso_media.read),
    "video/webm": ("webm", matroska.read),
    "video/x-flv": ("flv", poster.describe),
    "video/x-matroska": ("matroska", matroska.read),
    "video/x-ms-asf": ("asf", poster.describe),
    "video/x-ms-wmv": ("asf", poster.describe),
    "video/x-msvideo": ("avi", riff.read_avi),
}
"""Content type -> the format's name and its reader. A container is added by a line here."""

_OF_SOUND_ALONE = {
    "video/3gpp": "audio/3gpp",
    "video/3gpp2": "audio/3gpp2",
    "video/mp4": "audio/mp4",
    "video/ogg": "audio/ogg",
    "video/quicktime": "audio/mp4",
    "video/webm": "audio/webm",
    "video/x-matroska": "audio/x-matroska",
    "video/x-ms-asf": "audio/x-ms-wma",
    "video/x-ms-wmv": "audio/x-ms-wma",
}
"""What a container without a film is."""
_OF_FILMS = {"audio/mp4": "video/mp4", "audio/ogg": "video/ogg", "audio/webm": "video/webm"}


def supports(content_type: str) -> bool:
    """Whether there is a reader for this type."""
    return content_type in _FORMATS


def probe_header(window: Window, content_type: str, options: ProbeOptions) -> Findings:
    """What the header gives.

    Raises:
        MoreBytesError: it lies further on.
    """
    findings, _ = _read(window, content_type, options, MAX_HEADER_BYTES)
    return findings


def probe_full(window: Window, content_type: str, options: ProbeOptions) -> Findings:
    """What the header gives, and a picture: the cover of a sound, a frame of a video.

    Raises:
        MoreBytesError: of a file that is not read whole.
    """
    findings, header = _read(window, content_type, options, MAX_RANGE_BYTES)
    if findings.status is not AssetStatus.ENRICHED:
        return findings
    try:
        is_shown = _fill_from_cover(window, header, findings, options) or (
            header.has_video and _fill_from_poster(window, header, findings, options)
        )
    except MoreBytesError as more:
        if window.may_ask(more, MAX_RANGE_BYTES):
            raise
        is_shown = False
    if header.has_video and not is_shown:
        findings.warnings = sorted({NO_POSTER, *(findings.warnings or ())})
    return findings


def _read(
    window: Window, content_type: str, options: ProbeOptions, most: int
) -> tuple[Findings, AvHeader]:
    name, reader = _FORMATS[content_type]
    header = AvHeader(format=name)
    findings = Findings(status=AssetStatus.ENRICHED, content_type=content_type, format=name)
    is_cut = read_header(reader, window, header, findings, most)
    _describe(window, header, findings, options, is_cut=is_cut)
    return findings, header


def _describe(
    window: Window, header: AvHeader, findings: Findings, options: ProbeOptions, *, is_cut: bool
) -> None:
    content_type = findings.content_type or ""
    if header.has_audio and not header.has_video:
        content_type = _OF_SOUND_ALONE.get(content_type, content_type)
    elif header.has_video:
        content_type = _OF_FILMS.get(content_type, content_type)
    findings.content_type = content_type
    findings.kind = Kind(content_type.partition("/")[0])
    findings.width, findings.height = header.displayed_size()
    findings.frame_rate = round(header.frame_rate, 3) if header.frame_rate else None
    findings.duration_seconds = round(header.duration, 3) if header.duration else None
    if header.duration:
        findings.bit_rate = round(window.size * 8 / header.duration)
    findings.video_codec, findings.audio_codec = header.video_codec, header.audio_codec
    findings.audio_channels = header.audio_channels
    findings.sample_rate_hz = header.sample_rate
    if header.has_video or header.has_audio:
        findings.has_audio = header.has_audio
    findings.labels = sorted(set(header.labels)) or None
    findings.warnings = [TRUNCATED] if header.is_cut else None
    fill_metadata([], findings, options, container=_values(header), is_cut=is_cut)
    if header.has_credentials:
        findings.has_content_credentials = True


def _values(header: AvHeader) -> Values:
    """What the container says, as other metadata is said."""
    taken = moment(header.taken) if header.taken else None
    if taken is None and header.created is not None:
        taken = Moment(header.created, None)
    return Values(
        taken=taken,
        camera_make=header.make,
        camera_model=header.model,
        position=from_iso6709(header.position) if header.position else None,
        title=header.title,
        description=header.description,
        tags=header.keywords,
        creators=[header.creator] if header.creator else [],
        copyright=header.copyright,
    )


def _fill_from_cover(
    window: Window, header: AvHeader, findings: Findings, options: ProbeOptions
) -> bool:
    """The placeholder of a picture within the file. What is wrong with it is not with the file."""
    if header.cover is None or not 0 < header.cover.length <= _MAX_COVER:
        return False
    data = window.read(header.cover.start, header.cover.length)
    content_type = sniff(data[:4096])
    if content_type is None or not image.supports(content_type):
        return False
    picture = image.probe_full(Window(data), content_type, options)
    for name in ("dominant_color", "palette", "blurhash", "thumbhash", "phash"):
        setattr(findings, name, getattr(picture, name))
    return picture.blurhash is not None


def _fill_from_poster(
    window: Window, header: AvHeader, findings: Findings, options: ProbeOptions
) -> bool:
    try:
        frame = poster.poster(window, header, options)
    except UnreadableError:
        return False
    if frame is None:
        return False
    fill_from_picture(findings, frame)
    return True
