"""What the models of a fleet's configuration have in common."""

from pydantic import BaseModel, ConfigDict


class ConfigModel(BaseModel):
    """Frozen; an unknown key is refused, and so is a number without end."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)
