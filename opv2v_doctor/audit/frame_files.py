"""Frame files: the poses and cameras of one agent in one frame, from YAML."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from opv2v_doctor.audit.file_record import FileReading
from opv2v_doctor.geometry.lookup_tables import numbers_of
from opv2v_doctor.geometry.rigs import rig_of
from opv2v_doctor.layout import NAMEABLE, Layout

MOST_NODES = 200_000  # of a document with its aliases written out; a real one has about 1 000
DEEPEST = 100  # levels; a real one has 5
DIGITS = 3  # rigs that agree so far are one


def read_frame_file(content: bytes, layout: Layout) -> FileReading:
    """The LiDAR's pose, the rig in numbers, and a digest of all poses. Raises ValueError."""
    document, twice = _document(content, (layout.lidar_pose, *layout.cameras))
    frame = layout.canonical(document)
    cameras = numbers_of(rig_of(frame, dict.fromkeys(NAMEABLE[: len(layout.cameras)], (1, 1))))
    pose = [float(number) for number in frame["lidar_pose"]]
    names = sorted(camera.name for camera in cameras)
    poses = [pose, *([float(number) for number in frame[name]["cords"]] for name in names)]
    rig = [[c.name, _to_digits(c.intrinsics), _to_digits(c.camera_to_lidar)] for c in cameras]
    x, y, z, roll, yaw, pitch = pose
    return FileReading(
        problem=twice,
        poses=hashlib.sha256(json.dumps(poses).encode()).hexdigest()[:32],
        rig=json.dumps(rig),
        x=x,
        y=y,
        z=z,
        roll=roll,
        yaw=yaw,
        pitch=pitch,
    )


def no_key(key: str) -> str:
    """How the problem of a frame file begins that does not have what is wanted of it first."""
    return f"no {key} among its keys"


def _to_digits(numbers: tuple[float, ...]) -> list[float]:
    return [round(number, DIGITS) + 0.0 for number in numbers]


def _document(content: bytes, wanted: Sequence[str]) -> tuple[Any, str | None]:
    """What is wanted of a document, all of which is parsed by the C safe loader; and a key that stands twice.

    The first that is wanted has to be there. No tag builds an object, and aliases do not multiply.
    """
    import yaml

    _verify_depth(content)
    loader = yaml.CSafeLoader(content)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ValueError("not a frame file")
        if b"&" in content and _weight(node, {}) > MOST_NODES:
            raise ValueError("its aliases multiply: a YAML bomb")
        twice = _twice(node)
        there = [str(key.value) for key, _ in node.value]
        if wanted[0] not in there:
            raise ValueError(f"{no_key(wanted[0])} ({', '.join(there)[:80]})")
        if b"!" not in content:  # no tag that could be wrong in what is left out
            node.value = [(key, value) for key, value in node.value if key.value in wanted]
        return loader.construct_document(node), twice
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"not YAML: {place}{problem.problem}") from None
    finally:
        loader.dispose()


def _twice(root: Any) -> str | None:
    """That a key stands twice in a mapping, and where; None where none does. Parsers take the last."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if not isinstance(node.value, list) or id(node) in seen:
            continue
        seen.add(id(node))  # an alias leads to the same node
        if isinstance(node.value[0] if node.value else None, tuple):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                waiting.append(value)
                if isinstance(key.value, str):
                    line = key.start_mark.line + 1
                    if first := lines.get((key.tag, key.value)):
                        name = repr(key.value[:40])
                        return f"key {name} stands twice, in lines {first} and {line}: the last one wins"
                    lines[key.tag, key.value] = line
        else:
            waiting += node.value
    return None


def _verify_depth(content: bytes) -> None:
    """A ValueError for brackets, dashes or spaces that nest deeper than the C parser's stack may bear."""
    flow = max(content.count(b"["), content.count(b"{"))
    dashes = max((len(run) for run in re.findall(rb"(?:[-?] ){9,}", content)), default=0) // 2
    indents = re.findall(rb"^ {200,}\S", content, re.MULTILINE)
    if (flow > DEEPEST and _flow_depth(content) > DEEPEST) or dashes > DEEPEST or indents:
        raise ValueError("not a frame file: it nests too deep")


def _flow_depth(content: bytes) -> int:
    """How deep brackets nest, at most; quoted ones count, too."""
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", content):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _weight(node: Any, known: dict[int, int]) -> int:
    """How many nodes a node has with all aliases written out."""
    children = node.value if isinstance(node.value, list) else ()
    if not children:
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_NODES + 1  # what an alias to a node above itself weighs
        flat = (part for child in children for part in (child if isinstance(child, tuple) else (child,)))
        known[id(node)] = 1 + sum(_weight(part, known) for part in flat)
    return known[id(node)]
