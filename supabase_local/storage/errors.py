"""Storage's refusals, shaped as the real server shapes them.

Nearly all are HTTP 400 with the true status in the body; clients of hosted Supabase rely on it.
"""

from __future__ import annotations

from typing import Any


class StorageError(Exception):
    """A request that Storage refuses.

    Attributes:
        status: what the body says, for HTTP itself says 400 (500 for 500).
        code: the machine-readable reason.
        error: an older field that clients still read; the same as `code` where there is no other.
    """

    def __init__(self, status: int, code: str, message: str, *, error: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.error = error or code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return self.status if self.status >= 500 or self.code == "InvalidRange" else 400

    def body(self) -> dict[str, Any]:
        """The JSON of the HTTP answer."""
        return {
            "statusCode": str(self.status),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        }


def no_such_bucket() -> StorageError:
    return StorageError(404, "NoSuchBucket", "Bucket not found", error="Bucket not found")


def no_such_key() -> StorageError:
    return StorageError(404, "NoSuchKey", "Object not found", error="not_found")


def invalid_key(key: str) -> StorageError:
    return StorageError(400, "InvalidKey", f"Invalid key: {key}")


def invalid_bucket_name() -> StorageError:
    return StorageError(400, "InvalidBucketName", "Bucket name invalid", error="Invalid Input")


def invalid_jwt(reason: str) -> StorageError:
    """A bad token on a route that needs one."""
    return StorageError(403, "AccessDenied", reason, error="Unauthorized")


def internal_error(message: str = "Internal Server Error") -> StorageError:
    """Something that the real server did not expect, which its file system did."""
    return StorageError(500, "InternalError", message, error="Internal")


def access_denied(reason: str) -> StorageError:
    return StorageError(403, "AccessDenied", reason, error="Unauthorized")


def invalid_request(message: str) -> StorageError:
    return StorageError(400, "InvalidRequest", message)


def key_already_exists() -> StorageError:
    return StorageError(409, "KeyAlreadyExists", "The resource already exists", error="Duplicate")


def bucket_already_exists() -> StorageError:
    return StorageError(
        409, "BucketAlreadyExists", "The resource already exists", error="Duplicate"
    )


def bucket_not_empty() -> StorageError:
    return StorageError(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty")


def entity_too_large() -> StorageError:
    return StorageError(
        413,
        "EntityTooLarge",
        "The object exceeded the maximum allowed size",
        error="Payload too large",
    )


def invalid_mime_type(mime_type: str) -> StorageError:
    return StorageError(
        415, "InvalidMimeType", f"mime type {mime_type} is not supported", error="invalid_mime_type"
    )


def invalid_range() -> StorageError:
    return StorageError(416, "InvalidRange", "The requested range is not satisfiable")


def invalid_signature(reason: str = "Invalid signature") -> StorageError:
    return StorageError(400, "InvalidSignature", reason)


def database_timeout() -> StorageError:
    return StorageError(544, "DatabaseTimeout", "The connection to the database timed out")


def invalid_url_token(reason: str) -> StorageError:
    """A bad token in a signed URL."""
    return StorageError(400, "InvalidJWT", reason)
