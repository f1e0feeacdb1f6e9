"""Where a home keeps what the signer needs, and how its tokens are configured (``node.toml``, table ``hsm``)."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crypto.errors import Misconfigured
from hsm import devtoken
from hsm.errors import DriverMissing
from hsm.profile import Profile, load_profile

MAIN = "xinyin-main"
ROOT = "xinyin-root"
Mode = Literal["development", "production"]


@dataclass(frozen=True)
class HsmConfig:
    """One home's custody. ``sessions`` is the number of token sessions signing at once (one thread each)."""

    home: Path
    mode: Mode
    database_url: str
    region: str
    profile: Profile
    library_name: str
    main_token: str
    root_token: str
    sessions: int

    @property
    def library(self) -> Path:
        """The PKCS#11 library, looked for (and, for our own, built) only by those who open tokens.

        :raises DriverMissing: no path is configured, or our own cannot be built
        """
        if self.library_name == "devtoken":
            return devtoken.library_path()
        if not self.library_name:
            raise DriverMissing(
                f"The profile {self.profile.name} needs the path of the vendor's PKCS#11 library; "
                "give it in node.toml as [hsm] library.",
                f"厂商配置 {self.profile.name} 需要指定其 PKCS#11 库的路径；请在 node.toml 的 [hsm] library 中填写。",
            )
        return Path(self.library_name)

    @property
    def socket(self) -> Path:
        return self.home / "run" / "signer.sock"

    @property
    def lock(self) -> Path:
        return self.home / "run" / "signer.lock"

    @property
    def secrets(self) -> Path:
        return self.home / "secrets"

    @property
    def softhsm_conf(self) -> Path:
        return self.home / "tokens" / "softhsm2.conf"

    @property
    def is_softhsm_based(self) -> bool:
        """Whether the tokens live in this home's own SoftHSM2 store."""
        return self.profile.name in ("devtoken", "softhsm")

    def pin_file(self, token: str) -> Path:
        return self.secrets / f"{token}.pin"

    def so_pin_file(self, token: str) -> Path:
        return self.secrets / f"{token}.so-pin"


def load_config(home: Path) -> HsmConfig:
    """Read ``<home>/node.toml``; what it leaves out has the defaults of a development node.

    ``[hsm]`` may name ``profile`` (a name or a path), ``library``, ``main_token``, ``root_token`` and ``sessions``.

    :raises Misconfigured: it cannot be read
    """
    home = home.expanduser().resolve()
    data: dict[str, Any] = {}
    if (home / "node.toml").is_file():
        try:
            data = tomllib.loads((home / "node.toml").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise Misconfigured(
                f"{home / 'node.toml'} cannot be read ({exc}); mend it or restore it from a backup.",
                f"无法读取 {home / 'node.toml'}；请修正该文件或从备份恢复。",
            ) from exc
    hsm = data.get("hsm") or {}
    profile = load_profile(str(hsm.get("profile", "devtoken")))
    database = data.get("database")
    url = database.get("url") if isinstance(database, dict) else database
    return HsmConfig(
        home=home,
        mode="production" if data.get("mode") == "production" else "development",
        database_url=str(url or f"sqlite:///{home / 'db.sqlite'}"),
        region=str(data.get("region", "000000")),
        profile=profile,
        library_name=str(hsm.get("library") or profile.library or ""),
        main_token=str(hsm.get("main_token", MAIN)),
        root_token=str(hsm.get("root_token", ROOT)),
        sessions=int(hsm.get("sessions", min(8, max(4, (os.cpu_count() or 1) * 2)))),
    )
