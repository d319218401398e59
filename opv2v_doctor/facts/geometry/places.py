"""Places: the lines of the repository that do a step of the geometry, by rules of thumb in its syntax."""

from __future__ import annotations

import ast
import re

from opv2v_doctor.facts.geometry.camera_axes import AXES_WORDS
from opv2v_doctor.facts.geometry.relative_poses import PoseErrors
from opv2v_doctor.facts.launch.datasets import Part
from opv2v_doctor.facts.launch.origins import (
    called_code,
    class_place,
    crop_place,
    first_place,
    given_place,
)
from opv2v_doctor.facts.source.syntax import modules, nodes
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

DEPTH = re.compile(r"depth|measured|range|distance", re.IGNORECASE)
DIRECTION = re.compile(r"dir|ray|point|plane|norm", re.IGNORECASE)
OFFSET = re.compile(r"offset|trans|position", re.IGNORECASE)
ROTATES = re.compile(r"rot|euler|angle", re.IGNORECASE)
STITCHES = ("bilinear", "remap", "grid_sample", "map_coordinates")


def reading_place(target: Target, part: Part, step: str) -> Place | None:
    """Where the dataset does a step of reading depth maps: a field of `Reading`."""
    if step == "depth" and "panorama_resolution" not in part.keywords:
        return given_place(target, part, "depthmap")
    if step == "depth":
        return first_place(target, part, _applies_depth, words=STITCHES)
    if step == "offsets":
        looked_up = first_place(target, part, _has_no_offset)
        return looked_up or first_place(target, part, _looks_up_directions, words=STITCHES)
    if step == "rig":
        return convention_place(target, part)
    if step == "crop":
        return crop_place(target, part) or first_place(target, part, _loads_depth)
    if step == "source":
        return first_place(target, part, _loads_depth) or class_place(target, part.class_name)
    return given_place(target, part, "depthmap")


def convention_place(target: Target, part: Part) -> Place | None:
    """Where six numbers become a rotation: a call of from_euler, else a product that is returned."""
    called = first_place(target, part, _is_euler_call, beyond=True)
    return called or _returned_rotation(target, part)


def axes_place(target: Target, part: Part, found: PoseErrors) -> Place | None:
    """Where wrong axes are made: where those of CARLA are said to become those of OpenCV.

    Where the pose of a camera is made, if its axes are another program's.
    """
    if found.of_cameras and found.convention and found.convention.axes in AXES_WORDS:
        return pose_place(target, part)
    return first_place(target, part, _is_axes, beyond=True) or convention_place(target, part)


def pose_place(target: Target, part: Part) -> Place | None:
    """Where a view's pose is made: what is assigned to what it is given."""
    given = given_place(target, part, "camera_pose")
    if given is None:
        return None
    related = [
        node
        for node in nodes(given.path)
        if isinstance(node, ast.Assign)
        and "pose" in ast.unparse(node.targets[0]).lower()
        and _relates(node.value)
        and node.lineno <= (given.line or 0)
    ]
    if not related:
        return given
    last = max(related, key=lambda node: node.lineno)
    return Place(path=given.path, line=last.lineno, text=ast.unparse(last), near=True)


def table_place(target: Target, part: Part, name: str) -> Place | None:
    """Where a table says what a normalisation of this name is: its key, with numbers below it."""
    for path in dict.fromkeys(
        [*(path for path, _ in called_code(target, part.class_name)), *modules(target)]
    ):
        for node in nodes(path):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                numbers = [each for each in ast.walk(value) if isinstance(each, ast.Constant)]
                named = isinstance(key, ast.Constant) and key.value == name
                if named and sum(isinstance(each.value, float) for each in numbers) >= 2:
                    return Place(path=path, line=getattr(key, "lineno", 1))
    return given_place(target, part, "data_norm_type")


def _relates(node: ast.AST) -> bool:
    """Whether one pose is seen from another: an inverse, a product, or a function called for that."""
    text = ast.unparse(node)
    return "inv" in text or "relative" in text or bool(re.search(r"T_\w+ @ ", text))


def _applies_depth(node: ast.AST) -> bool:
    """A product of a direction and a depth."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp)):
        return False
    if not isinstance(node.value.op, ast.Mult):
        return False
    sides = [ast.unparse(side) for side in (node.value.left, node.value.right)]
    one, other = sides if DEPTH.search(sides[0]) else sides[::-1]
    return bool(DEPTH.search(one) and DIRECTION.search(other))


def _has_no_offset(node: ast.AST) -> bool:
    """An offset that is given as zeros."""
    if not isinstance(node, ast.keyword) or not OFFSET.search(node.arg or ""):
        return False
    return "zeros" in ast.unparse(node.value)


def _looks_up_directions(node: ast.AST) -> bool:
    """Rays that are rotated into a camera, and not moved."""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp)):
        return False
    return isinstance(node.value.op, ast.MatMult) and "rays" in ast.unparse(node.value.left)


def _is_euler_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("from_euler", "euler_to_rotation"))


def _is_axes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    return bool(re.search(r"(carla|ue|unreal)\w*_to_\w*", ast.unparse(node.targets[0]), re.IGNORECASE))


def _loads_depth(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("np.load", "numpy.load"))


def _returned_rotation(target: Target, part: Part) -> Place | None:
    """What a function named for rotations returns, where that is a product of matrices."""
    for path, code in called_code(target, part.class_name):
        for node in ast.walk(code):
            if isinstance(node, ast.FunctionDef) and ROTATES.search(node.name):
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Return) and isinstance(inner.value, ast.BinOp):
                        return Place(path=path, line=inner.lineno, text=ast.unparse(inner), near=True)
    return None
