"""Video and sound: what each container says, by few bytes, and a picture of it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from fractions import Fraction
from types import ModuleType

import pytest

from media_enricher.models import AssetStatus, Depth, ErrorCode, Findings, Kind
from media_enricher.probe import ProbeOptions, probe_full, probe_header
from media_enricher.probe.av import bare, iso_media, matroska, mpeg_audio
from media_enricher.probe.av.header import AvHeader
from media_enricher.probe.parts import Parts
from media_enricher.probe.source import Window
from tests.probe.recordings import HZ, LargeFilm, recording, turned
from tests.probe.samples import OPTIONS, full, header, photograph, saved

FILMS = [
    ("mp4", "libx264", "aac", "video/mp4", "mp4", "h264", "aac"),
    ("mp4", "mpeg4", "mp3", "video/mp4", "mp4", "mpeg4", "mp3"),
    ("mov", "mjpeg", "pcm_s16le", "video/quicktime", "mov", "mjpeg", "pcm_s16le"),
    ("matroska", "libx264", "libopus", "video/x-matroska", "matroska", "h264", "opus"),
    ("webm", "libvpx", "libopus", "video/webm", "webm", "vp8", "opus"),
    ("avi", "mpeg4", "mp3", "video/x-msvideo", "avi", "mpeg4", "mp3"),
    ("3gp", "mpeg4", "aac", "video/3gpp", "3gp", "mpeg4", "aac"),
    ("mpegts", "mpeg2video", "mp2", "video/mp2t", "mpegts", "mpeg2video", "mp2"),
]
SOUNDS = [
    ("mp3", "mp3", "audio/mpeg", "mp3", "mp3"),
    ("flac", "flac", "audio/flac", "flac", "flac"),
    ("ogg", "libopus", "audio/ogg", "ogg", "opus"),
    ("ogg", "flac", "audio/ogg", "ogg", "flac"),
    ("wav", "pcm_s16le", "audio/wav", "wav", "pcm_s16le"),
    ("wav", "pcm_u8", "audio/wav", "wav", "pcm_u8"),
    ("aiff", "pcm_s16be", "audio/aiff", "aiff", "pcm_s16be"),
    ("adts", "aac", "audio/aac", "aac", "aac"),
    ("ipod", "aac", "audio/mp4", "mp4", "aac"),
    ("mp4", "aac", "audio/mp4", "mp4", "aac"),
    ("matroska", "flac", "audio/x-matroska", "matroska", "flac"),
    ("webm", "libopus", "audio/webm", "webm", "opus"),
]


@pytest.mark.parametrize(
    ("container", "film", "sound", "content_type", "name", "video_codec", "audio_codec"), FILMS
)
def test_a_video_is_described_and_shown(
    container: str, film: str, sound: str, content_type: str, name: str, video_codec: str,
    audio_codec: str,
) -> None:  # fmt: skip
    data = recording(container, film, sound, seconds=2.0)
    found = full(data, "film")
    assert (found.status, found.kind, found.content_type, found.format) == (
        AssetStatus.ENRICHED,
        Kind.VIDEO,
        content_type,
        name,
    )
    assert (found.width, found.height, found.frame_rate) == (96, 64, 25)
    assert (found.video_codec, found.audio_codec, found.has_audio) == (
        video_codec,
        audio_codec,
        True,
    )
    assert found.duration_seconds == pytest.approx(2.0, abs=0.1)
    assert found.bit_rate == pytest.approx(len(data) * 8 / (found.duration_seconds or 1), rel=0.01)
    assert found.blurhash
    assert found.phash
    start, _ = header(data, "film")
    shown = ("dominant_color", "palette", "blurhash", "thumbhash", "phash", "sha256")
    for field in Findings.__struct_fields__:
        expected = None if field in shown else getattr(found, field)
        assert getattr(start, field) == expected, field


@pytest.mark.parametrize(("container", "codec", "content_type", "name", "audio_codec"), SOUNDS)
def test_a_sound_is_described(
    container: str, codec: str, content_type: str, name: str, audio_codec: str
) -> None:
    data = recording(container, None, codec, seconds=2.0)
    found = full(data, "sound")
    assert (found.status, found.kind, found.content_type, found.format) == (
        AssetStatus.ENRICHED,
        Kind.AUDIO,
        content_type,
        name,
    )
    assert (found.audio_codec, found.audio_channels) == (audio_codec, 1)
    assert found.sample_rate_hz == (48_000 if audio_codec == "opus" else HZ)
    assert found.duration_seconds == pytest.approx(2.0, abs=0.1)
    assert (found.width, found.video_codec, found.frame_rate) == (None, None, None)
    assert found.warnings is None


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_pixels_that_are_not_square_are_shown_square(container: str) -> None:
    wide = full(recording(container, "mpeg4", aspect=Fraction(4, 3)), "film")
    tall = full(recording(container, "mpeg4", aspect=Fraction(1, 2)), "film")
    assert (wide.width, wide.height) == (128, 64)
    assert (tall.width, tall.height) == (96, 128)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_film_that_was_taken_turned_is_shown_upright(turns: int) -> None:
    upright = full(recording("mp4", "mpeg4", size=(96, 64)), "film")
    found = full(turned(recording("mp4", "mpeg4", size=(96, 64)), turns), "film")
    assert (found.width, found.height) == ((64, 96) if turns % 2 else (96, 64))
    assert (found.blurhash == upright.blurhash) == (turns == 0)


@pytest.mark.parametrize("movflags", ["frag_keyframe+empty_moov", "dash"])
def test_a_film_in_fragments_is_as_long_as_one_that_is_not(movflags: str) -> None:
    data = recording("mp4", "mpeg4", "aac", seconds=3.0, options=(("movflags", movflags),))
    for found in (full(data, "film"), header(data, "film")[0]):
        assert found.duration_seconds == pytest.approx(3.0, abs=0.1)


def test_titles_and_makers_are_read_of_every_container() -> None:
    written = (("title", "Häuser am See"), ("artist", "A. Müller"), ("comment", "Seen at noon."))
    for container, film, sound in [
        ("mp4", "mpeg4", None), ("mov", "mpeg4", None), ("matroska", "mpeg4", None),
        ("avi", "mpeg4", None), ("mp3", None, "mp3"), ("flac", None, "flac"),
        ("ogg", None, "libopus"), ("wav", None, "pcm_s16le"),
    ]:  # fmt: skip
        found = full(recording(container, film, sound, metadata=written), "it")
        assert (found.title, found.creator) == ("Häuser am See", "A. Müller"), container
        assert found.description == "Seen at noon.", container


def test_when_and_where_a_phone_took_it() -> None:
    keys = (
        ("com.apple.quicktime.creationdate", "2024-05-06T09:08:07+0200"),
        ("com.apple.quicktime.make", "Apple"),
        ("com.apple.quicktime.model", "iPhone"),
        ("com.apple.quicktime.location.ISO6709", "+48.8577+002.2950+035.1/"),
        ("com.apple.quicktime.content.identifier", "8F1B"),
        ("creation_time", "2024-05-06T07:09:00Z"),
    )
    data = recording("mov", "mpeg4", options=(("movflags", "use_metadata_tags"),), metadata=keys)
    found = full(data, "IMG_1.MOV")
    assert found.taken_at == datetime(2024, 5, 6, 7, 8, 7, tzinfo=UTC)
    assert found.taken_at_offset == 120
    assert (found.camera_make, found.camera_model) == ("Apple", "iPhone")
    assert (found.has_location, found.latitude) == (True, None)
    assert "live-photo" in (found.labels or [])
    located = full(data, "IMG_1.MOV", options=ProbeOptions(location=True))
    assert (located.latitude, located.longitude) == (48.8577, 2.295)


def test_the_time_a_container_was_made_is_utc_without_an_offset() -> None:
    made = (("creation_time", "2024-05-06T07:08:09Z"),)
    found = full(recording("mp4", "mpeg4", metadata=made), "film")
    assert found.taken_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert found.taken_at_offset is None
    assert full(recording("mp4", "mpeg4"), "film").taken_at is None


def with_id3_picture(mp3: bytes, picture: bytes) -> bytes:
    content = b"\0image/jpeg\0\x03\0" + picture
    frame = b"APIC" + struct.pack(">I", len(content)) + b"\0\0" + content
    length = len(frame)
    seven = bytes(length >> 7 * place & 127 for place in (3, 2, 1, 0))
    return b"ID3\x03\0\0" + seven + frame + mp3


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_the_frames_of_mp3_within_an_mp4_say_its_channels(layout: str) -> None:
    """The container says 2 of both."""
    data = recording("mp4", "mpeg4", "mp3")
    if layout == "stereo":  # the mode is the fourth byte's first two bits, of every frame
        at = data.index(b"\xff\xfb")
        data = data[: at + 3] + bytes((data[at + 3] & 0x3F,)) + data[at + 4 :]
    expected = 1 if layout == "mono" else 2
    assert [full(data).audio_channels, header(data)[0].audio_channels] == [expected, expected]


def test_a_cover_is_the_placeholder_of_a_sound_and_costs_header_depth_nothing() -> None:
    cover = saved(photograph(900, 900), "jpeg", quality=97)
    bare = recording("mp3", None, "mp3", options=(("id3v2_version", "0"),))
    found = full(with_id3_picture(bare, cover), "a.mp3")
    assert found.blurhash == full(cover, "a.jpg").blurhash
    start, read = header(with_id3_picture(bare, cover), "a.mp3")
    assert (start.duration_seconds, start.blurhash) == (found.duration_seconds, None)
    assert read < len(cover) / 3


@pytest.mark.parametrize("is_moov_first", [True, False])
@pytest.mark.parametrize("depth", list(Depth))
def test_a_film_of_gigabytes_costs_little(depth: Depth, is_moov_first: bool) -> None:
    film = LargeFilm(5 * 2**30, is_moov_first=is_moov_first)
    held = Parts(film.read(0, 16 * 1024))
    probe = probe_full if depth is Depth.FULL else probe_header
    rounds = 0
    while not isinstance(
        found := probe(
            held.first,
            size_bytes=film.size,
            path="a.mp4",
            declared_content_type=None,
            options=OPTIONS,
            rest=held.rest,
        ),
        Findings,
    ):
        rounds += 1
        for each in held.missing(found.ranges):
            held.add(each.start, film.read(each.start, each.stop))
    assert (found.status, found.width, found.duration_seconds) == (AssetStatus.ENRICHED, 96, 2.0)
    assert rounds < 40
    if depth is Depth.HEADER:
        assert held.length < 1_000_000
    else:
        assert held.length < 16_000_000
        assert found.blurhash
        assert (found.sha256, found.warnings) == (None, ["not-read-whole"])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_film_whose_end_is_missing_is_truncated(share: float) -> None:
    data = recording("mp4", "mpeg4", "aac", seconds=2.0)
    cut = full(data[: int(len(data) * share)], "a.mp4")
    assert (cut.status, cut.error_code) == (AssetStatus.FAILED, ErrorCode.TRUNCATED)
    assert cut.kind is Kind.VIDEO


def test_a_film_whose_media_are_cut_says_so() -> None:
    data = recording("mp4", "mpeg4", seconds=2.0)
    moov = data.index(b"moov") - 4
    first = data[:moov].index(b"mdat") - 4
    found = full(data[:first] + data[moov:] + data[first : moov - 5_000], "a.mp4")
    assert (found.status, found.width) == (AssetStatus.ENRICHED, 96)
    assert "truncated" in (found.warnings or [])
    assert "truncated-but-shown" in (found.labels or [])


def test_a_film_that_nothing_here_decodes_keeps_what_its_header_says() -> None:
    data = recording("mp4", "libx264").replace(b"avc1", b"xyzw")
    found = full(data, "a.mp4")
    assert (found.status, found.width, found.blurhash) == (AssetStatus.ENRICHED, 96, None)
    assert found.warnings == ["no-poster"]


def test_a_film_under_a_pictures_name_is_a_film_and_says_so() -> None:
    found = full(recording("mp4", "mpeg4"), "a.jpg", "image/jpeg")
    assert (found.status, found.kind) == (AssetStatus.ENRICHED, Kind.VIDEO)
    assert "mislabelled" in (found.labels or [])


def element(name: str, content: bytes) -> bytes:
    """An element of Matroska, with a length of eight bytes."""
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def test_what_matroska_says_of_its_frames_is_applied() -> None:
    def number(name: str, value: int) -> bytes:
        return element(name, value.to_bytes(2, "big"))

    def film(*more: bytes) -> bytes:
        shape = number("b0", 100) + number("ba", 80) + b"".join(more)
        track = number("83", 1) + element("86", b"V_VP9") + element("e0", shape)
        head = element("1a45dfa3", element("4282", b"webm"))
        return head + element("18538067", element("1654ae6b", element("ae", track)))

    def size(*more: bytes) -> tuple[int | None, int | None]:
        found = full(film(*more), "a.webm")
        return found.width, found.height

    assert size() == (100, 80)
    assert size(number("54b0", 200), number("54ba", 80)) == (200, 80)
    assert size(number("54cc", 10), number("54dd", 10), number("54bb", 30)) == (80, 50)
    roll = element("7670", element("7675", struct.pack(">f", -90.0)))
    assert size(roll) == (80, 100)
    hdr = element("55b0", number("55ba", 16))
    assert "hdr" in (full(film(hdr), "a.webm").labels or [])


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
_TABLES = box(b"stsd", b"\0\0\0\0\xff\xff\xff\xff") + box(b"stsz", b"\xff" * 12)
_WEBM = b"\x1aE\xdf\xa3\x88\x42\x82\x84webm"
HOSTILE = {
    "no boxes": FTYP,
    "a box of one byte": FTYP + struct.pack(">I4s", 1, b"moov") + bytes(8),
    "a box that ends before it begins": FTYP + struct.pack(">I4s", 4, b"moov"),
    "boxes within boxes": FTYP + box(b"moov", box(b"trak", box(b"mdia", box(b"minf")))),
    "a hundred thousand boxes": FTYP + box(b"free") * 100_000,
    "a hundred thousand tracks": FTYP + box(b"moov", box(b"trak") * 100_000),
    "tables of absurd length": FTYP
    + box(b"moov", box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", _TABLES))))),
    "a segment without end": _WEBM + b"\x18S\x80g\x01" + b"\xff" * 7,
    "a track of any width": _WEBM
    + element("18538067", element("1654ae6b", element("ae", b"\xe0\x84\xb0\x82\xff\xff"))),
    "an ID3 tag without end": b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + b"TIT2\x7f\x7f\x7f\x7f\0\0" * 1000,
    "a FLAC of blocks": b"fLaC" + b"\0\0\0\x22" + bytes(34) + b"\1\0\0\0" * 10_000,
    "an Ogg of pages": (b"OggS\0\2" + bytes(20) + b"\1\0") * 5_000,
    "a WAV of chunks": b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * 10_000,
    "an AVI in an AVI": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrl" * 1_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_have_a_named_error(name: str) -> None:
    for found in (full(HOSTILE[name], "a.mp4"), header(HOSTILE[name], "a.mp4")[0]):
        assert found.error_code is not ErrorCode.PROBE_CRASHED
        assert found.status in {AssetStatus.FAILED, AssetStatus.UNSUPPORTED, AssetStatus.ENRICHED}


_SIMPLE = element("67c8", element("45a3", b"NONE") + element("4487", b"x"))
_TRACK = element("1654ae6b", element("ae", element("83", b"\2") + element("86", b"A_OPUS")))
LISTS_IN_LISTS = {
    "boxes in boxes": FTYP + box(b"moov", box(b"udta", box(b"free") * 1_999) * 200),
    "elements in elements": element("1a45dfa3", element("4282", b"webm"))
    + element("18538067", _TRACK + element("1254c367", element("7373", _SIMPLE * 2_000) * 60)),
    "chunks in chunks": b"RIFF\xff\xff\xff\x7fAVI "
    + (b"LIST" + struct.pack("<I", 4 + 8 * 1_999) + b"hdrl" + b"junk\0\0\0\0" * 1_999) * 200,
}


@pytest.mark.parametrize("name", LISTS_IN_LISTS)
def test_lists_within_lists_share_one_limit(name: str) -> None:
    found = full(LISTS_IN_LISTS[name], "a.mp4")
    assert (found.status, found.error_code) == (AssetStatus.FAILED, ErrorCode.CORRUPT)
    assert "300,000 parts" in (found.error_message or "")


def test_small_values_of_an_element_are_held_within_a_limit() -> None:
    children = b"".join(element(f"{0x4300 + at:x}", bytes(16_000)) for at in range(255))
    data = element("ae", children)
    window = Window(data)
    track = next(matroska.elements(window, 0, window.size))
    held = matroska._values(window, track)
    assert 0 < sum(map(len, held.values())) <= 256 * 1024


def test_keywords_of_all_lists_share_one_limit() -> None:
    words = ",".join(f"w{at}" for at in range(150)).encode()
    item = box(b"\xa9key", struct.pack(">HH", len(words), 0) + words)
    found = AvHeader("mp4")
    iso_media.read(Window(FTYP + box(b"moov", box(b"udta", item * 1_000))), found)
    assert len(found.keywords) == 200
    assert found.keywords[:2] == ["w0", "w1"]


@pytest.mark.parametrize(("frame", "module", "start", "name"), [
    (b"\x7c" + bytes(31), bare, b"#!AMR\n", "a.amr"),
    (bytes.fromhex("fff15080011ffc") + b"\0", bare, b"", "a.aac"),
    (b"\xff\xfb\x90\x00" + bytes(413), mpeg_audio, b"", "a.mp3"),
])  # fmt: skip
def test_of_too_many_frames_the_duration_is_unknown(
    monkeypatch: pytest.MonkeyPatch, frame: bytes, module: ModuleType, start: bytes, name: str
) -> None:
    known = full(start + frame * 100, name)
    assert known.duration_seconds
    monkeypatch.setattr(module, "MAX_FRAMES", 99)
    found = full(start + frame * 100, name)
    assert (found.status, found.duration_seconds) == (AssetStatus.ENRICHED, None)
    assert found.audio_codec == known.audio_codec


@pytest.mark.parametrize(("container", "film", "sound"), [
    ("mp4", "mpeg4", "aac"), ("matroska", "mpeg4", "aac"), ("avi", "mpeg4", "mp3"),
    ("ogg", None, "libopus"), ("mp3", None, "mp3"), ("flac", None, "flac"),
    ("wav", None, "pcm_s16le"),
])  # fmt: skip
def test_any_cut_and_any_flipped_byte_is_survived(
    container: str, film: str | None, sound: str
) -> None:
    data = recording(container, film, sound, seconds=0.3)
    for at in range(0, min(len(data), 4_000), 37):
        hurt = bytearray(data)
        hurt[at] ^= 0xFF
        for bad in (bytes(hurt), data[:at]):
            found = full(bad, "a.bin")
            assert found.error_code is not ErrorCode.PROBE_CRASHED, (at, found.error_message)


def test_a_picture_of_a_film_is_that_of_its_first_tenth() -> None:
    found = full(recording("mp4", "libx264", seconds=1.0), "a.mp4")
    like = full(saved(photograph(192, 64).crop((0, 0, 96, 64)), "png"), "a.png")
    assert found.phash
    assert like.phash
    assert bin(int(found.phash, 16) ^ int(like.phash, 16)).count("1") <= 10
