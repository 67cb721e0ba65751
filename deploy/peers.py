"""Installs what the tests want of the system: Debian's kannel, a gateway that binds to Columba and sends through it.

Only as root where there is apt-get, and only what is missing; its service is left stopped, as the tests start it by
themselves. Never fails: tests that go without it say so (and in CI they fail).
"""

import os
import shutil
import subprocess

PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


def run(*command: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "PATH": PATH}
    return (
        subprocess.run(  # noqa: S603
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def install() -> None:
    if shutil.which("bearerbox", path=PATH):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get", path=PATH):
        print("kannel is not installed; the tests with it are left out (on Debian: apt-get install kannel)")
        return
    print("installing kannel, for the tests")
    get = ("apt-get", "install", "-y", "-q", "--no-install-recommends", "kannel")
    if not run(*get) and not (run("apt-get", "update", "-q") and run(*get)):
        print("kannel could not be installed; the tests with it are left out")
        return
    for command in (("update-rc.d", "kannel", "disable"), ("service", "kannel", "stop")):
        if shutil.which(command[0], path=PATH):
            run(*command)


if __name__ == "__main__":
    install()
