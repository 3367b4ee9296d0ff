"""What the binaries are made of: the crates that are linked into them, as Cargo resolves them for a platform."""

import json
import subprocess

BINARIES = ["taskferry", "taskferry-worker"]


def linked(triple: str) -> dict[str, dict]:
    """The packages of the binaries and what they are made of, by id; each with `links`, the ids of what it depends on."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", triple]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]}
    todo = [id for id, package in packages.items() if package["name"] in BINARIES]
    found = {}
    while todo:
        id = todo.pop()
        if id in found:
            continue
        # What only tests or build scripts use is in no binary.
        links = [it["pkg"] for it in nodes[id] if any(kind["kind"] is None for kind in it["dep_kinds"])]
        found[id] = {**packages[id], "links": sorted(links)}
        todo.extend(links)
    return found
