"""Network namespaces for each TaskManager and for what leads them, joined by a bridge that ends on this machine.

Two TaskManagers that share one SDK worker pool ask it for the same worker ids and stop each other's workers; in a
namespace of its own each has its own `localhost:50000`, as in a pod.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache

# Of the range that is set aside for tests of network devices, so it is nobody's own network.
GATEWAY = "198.18.7.1"
BRIDGE = "maskbeam"


@cache
def can_make_network() -> bool:
    """Whether namespaces can be made here: root on a machine may, root in most containers may not."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    if _exists("link", "show", BRIDGE):
        return True
    name = f"{BRIDGE}-try"
    tried = [_exists("netns", "add", name), _exists("link", "add", name, "type", "bridge")]
    _exists("netns", "delete", name)
    _exists("link", "delete", name)
    return all(tried)


def address_of(number: int) -> str:
    """A namespace's address on the bridge."""
    return f"198.18.7.{10 + number}"


def in_namespace(number: int, command: list[str]) -> list[str]:
    """A command line that runs another one in a namespace."""
    return ["ip", "netns", "exec", _namespace(number), *command]


def make_network(numbers: Iterable[int]) -> None:
    """Makes the bridge and the namespaces that are not there yet."""
    if not _exists("link", "show", BRIDGE):
        _ip(f"link add {BRIDGE} type bridge")
    _ip(f"address replace {GATEWAY}/24 dev {BRIDGE}")
    _ip(f"link set {BRIDGE} up")
    for number in numbers:
        if not _exists("netns", "exec", _namespace(number), "ip", "address", "show", "eth0"):
            _make_namespace(number)


def remove_network(numbers: Iterable[int]) -> None:
    """Removes the bridge and the namespaces that are there."""
    for number in numbers:
        subprocess.run(["ip", "netns", "delete", _namespace(number)], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", _cable(number)], check=False, capture_output=True)
    subprocess.run(["ip", "link", "delete", BRIDGE], check=False, capture_output=True)


def _make_namespace(number: int) -> None:
    name, cable = _namespace(number), _cable(number)
    # Whatever a crash has left half made goes first.
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    subprocess.run(["ip", "link", "delete", cable], check=False, capture_output=True)
    _ip(f"netns add {name}")
    _ip(f"link add {cable} type veth peer name eth0 netns {name}")
    _ip(f"link set {cable} master {BRIDGE} up")
    _ip(f"-n {name} address add {address_of(number)}/24 dev eth0")
    _ip(f"-n {name} link set eth0 up")
    _ip(f"-n {name} link set lo up")


def _namespace(number: int) -> str:
    return f"maskbeam{number}"


def _cable(number: int) -> str:
    return f"maskbeam-v{number}"


def _exists(*words: str) -> bool:
    return subprocess.run(["ip", *words], check=False, capture_output=True).returncode == 0


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)
