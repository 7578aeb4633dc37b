"""What the embedded cloud can be told, checked before the first socket opens.

Plain pydantic models, frozen, unknown keys refused. The secret comes from the environment (`token`) or from a file
(`token_file`); `CloudConfig.read_token` is the only place that reads that file.
"""

from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

DEFAULT_PORT: Final = 8086  # InfluxDB's own
DEFAULT_BODY_BYTES_MAX: Final = (
    25_000_000  # InfluxDB 1.x's default; some 200,000 lines, and what one request may cost in memory
)
DEFAULT_POINTS_MAX: Final = 10_000_000  # about 2 GB of SQLite: what "small site" means here
DEFAULT_DISK_BYTES_MAX: Final = 4_000_000_000  # twice what the points need, so that the clearer limit is met first
TOKEN_BYTES_MAX: Final = 4096  # a longer token file is surely not a token


class TokenUnreadableError(Exception):
    """`token_file` cannot be read or holds no token."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"token_file: {path}: {reason}; expected a readable file with the API token on one line")
        self.path = path
        self.reason = reason


class BucketConfig(BaseModel):
    """One bucket; `retention_s` (seconds) is how old a point may be, left out it is kept for ever."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(min_length=1, max_length=255)
    retention_s: int | None = Field(default=None, ge=1, le=10**10)


class CloudConfig(BaseModel):
    """The embedded cloud's configuration. Exactly one of `token` and `token_file` must be given."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    db_path: Path = Path(".tidegate/cloud.sqlite")
    org: str = Field(default="tidegate", min_length=1, max_length=255)
    buckets: tuple[BucketConfig, ...] = Field(default=(BucketConfig(name="tidegate"),), min_length=1, max_length=1000)
    token: SecretStr | None = None
    token_file: Path | None = None
    max_body_bytes: int = Field(default=DEFAULT_BODY_BYTES_MAX, ge=1_000, le=500_000_000)
    max_points: int = Field(default=DEFAULT_POINTS_MAX, ge=1, le=10**9)
    max_disk_bytes: int = Field(default=DEFAULT_DISK_BYTES_MAX, ge=1_000_000)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [bucket.name for bucket in self.buckets]
        if len(set(names)) != len(names):
            raise ValueError("buckets: each name may stand only once")
        if (self.token is None) == (self.token_file is None):
            raise ValueError("token: give exactly one of token and token_file")
        if self.token is not None and not self.token.get_secret_value().strip():
            raise ValueError("token: must not be empty")
        return self

    def read_token(self) -> str:
        """Return the API token, from the configuration or its file. Raises TokenUnreadableError."""
        if self.token is not None:
            return self.token.get_secret_value().strip()
        path = self.token_file
        assert path is not None, "the validator lets no configuration through without one of the two"  # noqa: S101
        try:
            with path.open("rb") as file:
                token = file.read(TOKEN_BYTES_MAX + 1)
        except OSError as error:
            raise TokenUnreadableError(path, error.strerror or str(error)) from error
        text = token.decode("utf-8", "replace").strip()
        if not text or len(token) > TOKEN_BYTES_MAX or len(text.split()) != 1:
            raise TokenUnreadableError(path, "it is empty, too long or not one word")
        return text
