"""`[home_assistant]`: whether, and under which topics, Home Assistant is told of the gateway and its devices."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sensors.topics import check_root

EXPIRES_MIN_S = 10  # below that a device that speaks every few seconds would blink


class HomeAssistantSettings(BaseModel):
    """`publish_every_s`: how often what changed is told; `expire_after_s`: when a silent device counts as unavailable
    there (None: never)."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    enabled: bool = False
    discovery_prefix: Annotated[str, AfterValidator(check_root)] = "homeassistant"
    state_prefix: Annotated[str, AfterValidator(check_root)] = "tidegate-ha"
    publish_every_s: Annotated[float, Field(ge=1, le=3600)] = 10
    expire_after_s: Annotated[int, Field(ge=EXPIRES_MIN_S, le=30 * 86_400)] | None = None
    devices_max: Annotated[int, Field(ge=0, le=20_000)] = 1_000
