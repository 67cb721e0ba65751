"""Makes the virtual environment and puts uv into it, with nothing but a Python 3.11 or later.

Owns: VENV and VENV/.uv. Fails with one line that says what to install.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path


def run(*command: str) -> bool:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).returncode == 0  # noqa: S603


def bootstrap(venv: Path) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this script is what tells those with an older one
        sys.exit(f"Columba needs Python 3.11 or later; this is {sys.version.split()[0]}. Try: make PYTHON=python3.11")
    uv = venv / ".uv" / "bin" / "uv"
    found = shutil.which("uv")
    if found:
        uv.parent.mkdir(parents=True, exist_ok=True)
        uv.unlink(missing_ok=True)
        uv.symlink_to(found)
    else:
        install_uv(venv / ".uv")
    if not (venv / "bin" / "python").exists() and not run(
        str(uv), "venv", "-q", "--allow-existing", "--python", sys.executable, str(venv)
    ):
        sys.exit(f"uv could not make {venv}: run `{uv} venv {venv}` to see why.")


def install_uv(home: Path) -> None:
    if importlib.util.find_spec("ensurepip") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("python3-venv is missing: installing it")
        run("apt-get", "update")
        run("apt-get", "install", "-y", "--no-install-recommends", "python3-venv")
    if run(sys.executable, "-m", "venv", "--clear", str(home)) and run(
        str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "uv"
    ):
        return
    sys.exit(
        "Columba's set-up needs uv, or a Python that can make a virtual environment and reach a package index.\n"
        "On Debian: apt-get install python3-venv     Elsewhere: pipx install uv"
    )


if __name__ == "__main__":
    bootstrap(Path(sys.argv[1]))
