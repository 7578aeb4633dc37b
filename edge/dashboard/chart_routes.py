"""The routes of one device's charts: `/api/v1/devices/{key}/series` and `/battery`."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException
from pydantic import Field

from edge.dashboard.charts import AUTO, Charts
from edge.history.battery import BatteryHistory
from edge.history.series import POINTS_MAX, Series, ValueNames

TIME_MS_MAX = 4_102_444_800_000  # the year 2100
KEY_MAX = 2**53  # what JSON can say exactly
VALUE_CHARS_MAX = 64
Found = TypeVar("Found")
Time = Annotated[int, Field(ge=0, le=TIME_MS_MAX)]


def make_chart_router(charts: Charts) -> APIRouter:
    """Every route, on one source of charts."""
    router = APIRouter()

    @router.get("/api/v1/devices/{key}/series")
    async def series(
        key: Annotated[int, Field(ge=1, le=KEY_MAX)],
        value: Annotated[str, Field(min_length=1, max_length=VALUE_CHARS_MAX)],
        from_: Annotated[Time, Field(alias="from")],
        to: Time,
        unit: Annotated[str | None, Field(max_length=VALUE_CHARS_MAX)] = None,
        resolution: Annotated[str, Field(pattern=r"^(auto|raw|[0-9]{1,5})$")] = AUTO,
        limit: Annotated[int, Field(ge=2, le=POINTS_MAX)] = 600,
    ) -> Series:
        """One value of one device over a span: raw readings, or rollups of so many seconds with lowest and highest."""
        if from_ >= to:
            raise HTTPException(422, "to: expected a time after from")
        try:
            found = await charts.series(key, value, unit, from_, to, resolution, limit)
        except KeyError:
            kept = ", ".join(map(str, charts.resolutions_s)) or "none"
            raise HTTPException(422, f"resolution: expected auto, raw, or one that is kept ({kept})") from None
        return known(found, key)

    @router.get("/api/v1/devices/{key}/values")
    async def values(key: Annotated[int, Field(ge=1, le=KEY_MAX)]) -> ValueNames:
        """The numbers of a device of which there is a history."""
        return known(await charts.values(key), key)

    @router.get("/api/v1/devices/{key}/battery")
    async def battery(key: Annotated[int, Field(ge=1, le=KEY_MAX)]) -> BatteryHistory:
        """A device's battery over the last ninety days, and how long it will last."""
        return known(await charts.battery(key), key)

    return router


def known(found: Found | None, key: int) -> Found:
    """What was found of a device. Raises `HTTPException` for nothing."""
    if found is None:
        raise HTTPException(404, f"no device has the key {key}")
    return found
