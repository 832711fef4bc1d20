"""Pictures of 16 x 16 pixels in the formats that Pillow does not write, to warm decoders with.

Made by pillow-heif 1.8 and pillow-jxl-plugin 1.3 from one colour: the decoder process may open no
file and should not encode, which would start threads.
"""

from __future__ import annotations

import base64
import struct

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAWhtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAA"
    "AAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABjAABAAAAAAAAACwAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAAB"
    "AABodmMxAAAAAA5waXRtAAAAAAABAAAA6GlwcnAAAADJaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADw"
    "NgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm4CGgwIAA"
    "AAyAAAADAIRiAAEABkQBwXPBiQAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAAAQAAAAAQAAABAAAAAB////0A"
    "AAAAL////QAAAAAgAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIEgwAAADRtZGF0AAAAKCgBr1IW"
    "JSTm/Oq//5OV/+ZUkPJcRMiVHoCkSlstqoCWWm6rUItLbLM="
)
JXL = base64.b64decode(
    "/wpDBgAUSADMACFrFQCACpVRxg1ezvV8+aHDYtrGdYa22rawhLHZXhgkJJwg3vZT0TxdcaQiUQyLESpJAA=="
)
PSD = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 1, 16, 16, 8, 1) + bytes(14) + bytes(16 * 16)
CURSOR = (
    struct.pack("<HHHBBBBHHII", 0, 2, 1, 16, 16, 0, 0, 0, 0, 40 + 16 * 64 + 64, 22)
    + struct.pack("<IiiHHIIiiII", 40, 16, 32, 1, 32, 0, 0, 0, 0, 0, 0)
    + b"\x1d\x1e\xc8\xff" * 256
    + bytes(64)
)
