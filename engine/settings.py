"""Where the workspace is and which limits hold, read once from the environment.

==========================  ============================================  =====================
variable                    meaning                                       default
==========================  ============================================  =====================
``LENSMITH_HOME``           workspace folder                              ``~/.lensmith``
``LENSMITH_DATABASE``       SQLAlchemy address of the database            SQLite in the folder
``LENSMITH_DEVICE``         ``auto``, ``cpu``, ``cuda``, ``cuda:N``,       ``auto``
                            ``mps``
``LENSMITH_OFFLINE``        ``1``: never ask a weights hub                ``0``
``LENSMITH_HUB_TIMEOUT``    seconds until a hub counts as unreachable     ``20``
``LENSMITH_ALLOWED_HOSTS``  extra host names for the web server, commas   none
``LENSMITH_IMPORT_FOLDERS`` folders of this machine that the pages may    any, while no other
                            import from, with ``:`` between (``;`` on     machine may open them
                            Windows)
``LENSMITH_TIMING``         JSON with any field of ``Timing``, seconds    none
==========================  ============================================  =====================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Bounds on what is read from outside (see bad-input in the docs); sizes in bytes.

    The size of one picture in px is bounded in ``engine.datasets.preprocessing``, which an exported
    model carries with it.
    """

    archive_bytes: int = 4 * 2**30
    archive_members: int = 200_000
    inflated_bytes: int = 20 * 2**30
    inflate_ratio: float = 100.0
    ratio_applies_above: int = 10 * 2**20
    label_file_bytes: int = 2**30
    classes: int = 10_000
    weights_bytes: int = 4 * 2**30
    skipped_share: float = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds that the processes agree on."""

    heartbeat: float = 5.0
    lease: float = 30.0
    poll: float = 0.25
    term_grace: float = 5.0
    cancel_deadline: float = 20.0
    serving_idle: float = 600.0
    checkpoint: float = 20.0


@dataclass(frozen=True)
class Settings:
    """Everything that is decided before the first process starts."""

    home: Path
    database_url: str
    device: str = "auto"
    offline: bool = False
    hub_timeout: float = 20.0
    allowed_hosts: tuple[str, ...] = ()
    import_folders: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from ``environment`` (default: the process's own)."""
        env = os.environ if environment is None else environment
        home = Path(env.get("LENSMITH_HOME") or Path.home() / ".lensmith").expanduser().absolute()
        hosts = tuple(h.strip() for h in env.get("LENSMITH_ALLOWED_HOSTS", "").split(",") if h.strip())
        folders = env.get("LENSMITH_IMPORT_FOLDERS", "").split(os.pathsep)
        return cls(
            home=home,
            database_url=env.get("LENSMITH_DATABASE") or f"sqlite:///{home / 'lensmith.db'}",
            device=env.get("LENSMITH_DEVICE") or "auto",
            offline=env.get("LENSMITH_OFFLINE", "0") not in ("", "0"),
            hub_timeout=float(env.get("LENSMITH_HUB_TIMEOUT") or 20.0),
            allowed_hosts=hosts,
            import_folders=tuple(Path(f.strip()).expanduser().absolute() for f in folders if f.strip()),
            timing=Timing(**json.loads(env.get("LENSMITH_TIMING") or "{}")),
        )

    def environment(self) -> dict[str, str]:
        """Give the variables that make a child process read these same settings."""
        return {
            "LENSMITH_HOME": str(self.home),
            "LENSMITH_DATABASE": self.database_url,
            "LENSMITH_DEVICE": self.device,
            "LENSMITH_OFFLINE": "1" if self.offline else "0",
            "LENSMITH_HUB_TIMEOUT": str(self.hub_timeout),
            "LENSMITH_ALLOWED_HOSTS": ",".join(self.allowed_hosts),
            "LENSMITH_IMPORT_FOLDERS": os.pathsep.join(str(folder) for folder in self.import_folders),
            "LENSMITH_TIMING": json.dumps(asdict(self.timing)),
        }

    @property
    def files(self) -> Path:
        """Folder of pixels and manifests, named by SHA-256."""
        return self.home / "files"

    @property
    def cache(self) -> Path:
        """Folder of what can be made again: thumbnails, decoded images, catalogs."""
        return self.home / "cache"

    @property
    def features(self) -> Path:
        """Folder of cached embeddings."""
        return self.home / "features"

    @property
    def runs(self) -> Path:
        """Folder of job output, ``runs/<job>/attempt-<n>/``."""
        return self.home / "runs"

    @property
    def staging(self) -> Path:
        """Folder of uploads and archives that are being taken in."""
        return self.home / "staging"

    @property
    def logs(self) -> Path:
        """Folder of the processes' own logs."""
        return self.home / "logs"


def allowed_folder(path: Path, settings: Settings) -> bool:
    """Whether the pages may import from ``path``, a place on this machine, once its links are followed.

    Where folders are named, it must lie in one of them. Where none is, it may be any as long as only who
    sits at this machine can open the pages; once other hosts are allowed, none.
    """
    if not settings.import_folders:
        return not settings.allowed_hosts
    try:
        place = path.expanduser().resolve()
        return any(place.is_relative_to(folder.resolve()) for folder in settings.import_folders)
    except (OSError, RuntimeError, ValueError):  # a ring of links, no such home, a zero byte
        return False
