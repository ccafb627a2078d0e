"""The page's types of the API, made from what the service says of itself: `make api-types` writes them."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from asynclog.server.openapi import description
from asynclog.server.routes import OPERATIONS

WEB = Path(__file__).resolve().parents[2] / "web"
COMMITTED = WEB / "src/api/generated/types.gen.ts"


def generate() -> str:
    """The TypeScript of the API as it is now; needs web/node_modules and the venv's Node."""
    with TemporaryDirectory() as folder:
        source = Path(folder, "openapi.json")
        source.write_bytes(msgspec.json.encode(description(OPERATIONS)))
        made = subprocess.run(
            [Path(sys.executable).with_name("node"), "node_modules/@hey-api/openapi-ts/bin/run.js"],
            cwd=WEB,
            env={**os.environ, "API_DESCRIPTION": str(source), "API_TYPES": f"{folder}/types"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, f"{made.stdout}{made.stderr}"
        return Path(folder, "types/types.gen.ts").read_text()


if __name__ == "__main__":
    COMMITTED.parent.mkdir(exist_ok=True)
    COMMITTED.write_text(generate())
