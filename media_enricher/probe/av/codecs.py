"""The names of codecs, as FFmpeg has them, by what each container calls them."""

from __future__ import annotations

FOURCC_VIDEO = {
    "avc1": "h264", "avc3": "h264", "dva1": "h264", "dvav": "h264", "h264": "h264", "x264": "h264",
    "hvc1": "hevc", "hev1": "hevc", "dvh1": "hevc", "dvhe": "hevc", "hevc": "hevc", "h265": "hevc",
    "vvc1": "vvc", "vvi1": "vvc", "av01": "av1", "vp08": "vp8", "vp80": "vp8", "vp09": "vp9",
    "vp90": "vp9", "mp4v": "mpeg4", "xvid": "mpeg4", "divx": "mpeg4", "dx50": "mpeg4",
    "fmp4": "mpeg4", "m4s2": "mpeg4", "s263": "h263", "h263": "h263", "mjpg": "mjpeg",
    "jpeg": "mjpeg", "mjpa": "mjpeg", "mjpb": "mjpegb", "png ": "png", "mpng": "png",
    "apch": "prores", "apcn": "prores", "apcs": "prores", "apco": "prores", "ap4h": "prores",
    "ap4x": "prores", "div3": "msmpeg4v3", "mp43": "msmpeg4v3", "mp42": "msmpeg4v2",
    "wmv1": "wmv1", "wmv2": "wmv2", "wmv3": "wmv3", "wvc1": "vc1", "mpg1": "mpeg1video",
    "mpg2": "mpeg2video", "m2v1": "mpeg2video", "dvc ": "dvvideo", "dvcp": "dvvideo",
    "dvsd": "dvvideo", "dv5n": "dvvideo", "dv5p": "dvvideo", "hfyu": "huffyuv", "ffvh": "ffvhuff",
    "ffv1": "ffv1", "cvid": "cinepak", "svq1": "svq1", "svq3": "svq3", "rle ": "qtrle",
    "avdn": "dnxhd", "avdh": "dnxhd", "theo": "theora", "flv1": "flv1", "\0\0\0\0": "rawvideo",
    "raw ": "rawvideo", "i420": "rawvideo", "yuy2": "rawvideo", "2vuy": "rawvideo",
    "v210": "v210",
}  # fmt: skip
FOURCC_AUDIO = {
    "mp4a": "aac", "ac-3": "ac3", "ec-3": "eac3", "opus": "opus", "flac": "flac", "alac": "alac",
    "samr": "amr_nb", "sawb": "amr_wb", ".mp3": "mp3", "sowt": "pcm_s16le", "twos": "pcm_s16be",
    "in24": "pcm_s24be", "in32": "pcm_s32be", "fl32": "pcm_f32be", "fl64": "pcm_f64be",
    "raw ": "pcm_u8", "ulaw": "pcm_mulaw", "alaw": "pcm_alaw", "ima4": "adpcm_ima_qt",
    "none": "pcm_s16be", "qdm2": "qdm2", "dtsc": "dts", "dtse": "dts", "dtsh": "dts",
}  # fmt: skip
"""By the lower-case four characters of MP4, QuickTime, AVI and AIFF."""

MPEG_OBJECT_VIDEO = {
    0x20: "mpeg4", 0x21: "h264", 0x23: "hevc", 0x60: "mpeg2video", 0x61: "mpeg2video",
    0x62: "mpeg2video", 0x63: "mpeg2video", 0x64: "mpeg2video", 0x65: "mpeg2video",
    0x6A: "mpeg1video", 0x6C: "mjpeg", 0x6D: "png", 0x6E: "jpeg2000", 0xB1: "vp9",
}  # fmt: skip
MPEG_OBJECT_AUDIO = {
    0x40: "aac", 0x66: "aac", 0x67: "aac", 0x68: "aac", 0x69: "mp3", 0x6B: "mp3", 0xA5: "ac3",
    0xA6: "eac3", 0xA9: "dts", 0xAD: "opus", 0xDD: "vorbis", 0xE1: "qcelp",
}  # fmt: skip
"""By the object type indication of ISO/IEC 14496-1 (mp4ra.org)."""

WAVE_FORMATS = {
    0x0002: "adpcm_ms", 0x0006: "pcm_alaw", 0x0007: "pcm_mulaw", 0x0011: "adpcm_ima_wav",
    0x0031: "gsm_ms", 0x0050: "mp2", 0x0055: "mp3", 0x00FF: "aac", 0x0160: "wmav1",
    0x0161: "wmav2", 0x0162: "wmapro", 0x1610: "aac", 0x2000: "ac3", 0x2001: "dts",
    0x566F: "vorbis", 0x674F: "vorbis", 0x706D: "aac", 0xF1AC: "flac",
}  # fmt: skip
"""By the format tag of a WAVEFORMATEX (RFC 2361)."""

MATROSKA = {
    "V_MPEG4/ISO/AVC": "h264", "V_MPEGH/ISO/HEVC": "hevc", "V_MPEGI/ISO/VVC": "vvc",
    "V_AV1": "av1", "V_VP8": "vp8", "V_VP9": "vp9", "V_MPEG1": "mpeg1video",
    "V_MPEG2": "mpeg2video", "V_MPEG4/ISO/ASP": "mpeg4", "V_MPEG4/ISO/SP": "mpeg4",
    "V_MPEG4/ISO/AP": "mpeg4", "V_MPEG4/MS/V3": "msmpeg4v3", "V_MJPEG": "mjpeg",
    "V_THEORA": "theora", "V_PRORES": "prores", "V_FFV1": "ffv1", "V_UNCOMPRESSED": "rawvideo",
    "A_AC3": "ac3", "A_EAC3": "eac3", "A_MPEG/L3": "mp3", "A_MPEG/L2": "mp2", "A_MPEG/L1": "mp1",
    "A_OPUS": "opus", "A_VORBIS": "vorbis", "A_FLAC": "flac", "A_ALAC": "alac", "A_DTS": "dts",
    "A_TRUEHD": "truehd", "A_TTA1": "tta", "A_WAVPACK4": "wavpack",
}  # fmt: skip
"""By the CodecID of Matroska (RFC 9559)."""

AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000,
             7350)  # fmt: skip
"""Samples a second, by the sampling frequency index of AAC (ISO/IEC 14496-3, 1.6.3.4)."""


def four_characters(name: bytes, known: dict[str, str]) -> str | None:
    """The codec of four characters; what is not known, as it is, where that is a name."""
    text = name.decode("latin-1").lower()
    return known.get(text) or (text.strip() if text.strip().isalnum() else None)


def pcm(bits: int, *, is_float: bool = False, is_big: bool = False) -> str | None:
    """The name of uncompressed sound of so many bits a sample; 8 bits are unsigned."""
    order = "be" if is_big else "le"
    if is_float:
        return f"pcm_f{bits}{order}" if bits in {32, 64} else None
    if bits == 8:
        return "pcm_s8" if is_big else "pcm_u8"
    return f"pcm_s{bits}{order}" if bits in {16, 24, 32, 64} else None
