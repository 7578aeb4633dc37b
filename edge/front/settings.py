"""What the front has to know of the configuration. Values only."""

from dataclasses import dataclass
from pathlib import Path

from edge.access.records import FILE_NAME as ACCESS_FILE
from edge.config import ApiSettings, EdgeConfig
from edge.dashboard.charts import ChartFiles
from edge.desk import STORE_FILE
from edge.history.keep import HISTORY_FILE


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Of one gateway."""

    api: ApiSettings
    data_dir: Path
    sizes_s: tuple[int, ...]

    @property
    def access_file(self) -> Path:
        """Where accounts are kept."""
        return self.data_dir / ACCESS_FILE

    @property
    def files(self) -> ChartFiles:
        """What charts are read from."""
        return ChartFiles(self.data_dir / STORE_FILE, self.data_dir / HISTORY_FILE, self.sizes_s)


def front_settings(config: EdgeConfig, sizes_s: tuple[int, ...]) -> FrontSettings:
    """Of a configuration; `sizes_s`: of the windows whose history is kept."""
    return FrontSettings(config.api, config.store.data_dir, sizes_s)
