"""The routes of one device's charts: `/api/v1/devices/{key}/series` and `/battery`."""

from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query

from edge.api_description import problems
from edge.dashboard.charts import AUTO, Charts
from edge.history.battery import BatteryHistory
from edge.history.series import POINTS_MAX, Series, ValueNames

TIME_MS_MAX = 4_102_444_800_000  # the year 2100
KEY_MAX = 2**53  # what JSON can say exactly
VALUE_CHARS_MAX = 64
Found = TypeVar("Found")
Key = Annotated[int, Path(ge=1, le=KEY_MAX, description="a device's `key`, as GET /api/v1/devices tells it")]


def make_chart_router(charts: Charts) -> APIRouter:
    """Every route, on one source of charts."""
    router = APIRouter(prefix="/api/v1/devices/{key}", tags=["Devices"])
    unknown = problems(404)

    @router.get("/series", responses=unknown)
    async def series(
        key: Key,
        value: Annotated[str, Query(min_length=1, max_length=VALUE_CHARS_MAX, examples=["temperature"])],
        from_: Annotated[int, Query(alias="from", ge=0, le=TIME_MS_MAX, description="milliseconds since 1970")],
        to: Annotated[int, Query(ge=0, le=TIME_MS_MAX, description="milliseconds since 1970, after `from`")],
        unit: Annotated[
            str | None, Query(max_length=VALUE_CHARS_MAX, description="only if two values have one name")
        ] = None,
        resolution: Annotated[
            str, Query(pattern=r"^(auto|raw|[0-9]{1,5})$", description="auto, raw, or seconds of a window that is kept")
        ] = AUTO,
        limit: Annotated[int, Query(ge=2, le=POINTS_MAX, description="so many points at most")] = 600,
    ) -> Series:
        """One value of one device over a span.

        Raw readings, or rollups of so many seconds with lowest and highest; as columns, null is a gap.
        """
        if from_ >= to:
            raise HTTPException(422, "to: expected a time after from")
        try:
            found = await charts.series(key, value, unit, from_, to, resolution, limit)
        except KeyError:
            kept = ", ".join(map(str, charts.resolutions_s)) or "none"
            raise HTTPException(422, f"resolution: expected auto, raw, or one that is kept ({kept})") from None
        return known(found, key)

    @router.get("/values", responses=unknown)
    async def values(key: Key) -> ValueNames:
        """The numbers of a device of which there is a history."""
        return known(await charts.values(key), key)

    @router.get("/battery", responses=unknown)
    async def battery(key: Key) -> BatteryHistory:
        """A device's battery over the last ninety days, and how long it will last."""
        return known(await charts.battery(key), key)

    return router


def known(found: Found | None, key: int) -> Found:
    """What was found of a device. Raises `HTTPException` for nothing."""
    if found is None:
        raise HTTPException(404, f"no device has the key {key}")
    return found
