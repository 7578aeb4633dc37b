"""Sections of the gateway's configuration that stand in more than one place."""

import ssl
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from edge.forward.lanes import LaneRules, Order

Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A table of the configuration: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class TlsSettings(Section):
    """TLS towards a server. With none of the files, the system's certificate authorities are trusted."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _key_and_certificate_come_together(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file: expected both or neither")
        return self

    def context(self) -> ssl.SSLContext:
        """The context to connect with; server name and certificate are always checked."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


class LaneSettings(Section):
    """In which order the cloud is served after an outage. A weight is a lane's share of the bytes while all wait."""

    backfill: bool = True
    backfill_order: Order = Order.OLDEST
    rollups_weight: Annotated[int, Field(ge=1, le=1000)] = LaneRules().rollups_weight
    live_weight: Annotated[int, Field(ge=1, le=1000)] = LaneRules().live_weight
    backfill_weight: Annotated[int, Field(ge=1, le=1000)] = LaneRules().backfill_weight

    def rules(self) -> LaneRules:
        """What the core goes by."""
        return LaneRules(
            self.backfill, self.backfill_order, self.rollups_weight, self.live_weight, self.backfill_weight
        )


class MqttVersion(StrEnum):
    """Versions of MQTT that the gateway speaks."""

    V5 = "5"
    V311 = "3.1.1"


class TokenSettings(Section):
    """A token, given or kept in a file."""

    token: SecretStr | None = None
    token_file: Path | None = None

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token is not None and self.token_file is not None:
            raise ValueError("token and token_file: expected at most one of them")
        return self

    def read_token(self) -> str:
        """The token; a file is read anew each time: a rotation needs no restart. Empty: none. Raises `OSError`."""
        if self.token_file is not None:
            return self.token_file.read_text().strip()
        return self.token.get_secret_value() if self.token is not None else ""
