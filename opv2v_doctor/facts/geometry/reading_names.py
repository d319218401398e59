"""Wording: what a wrong reading or convention is called."""

from __future__ import annotations

from opv2v_doctor.facts.geometry.camera_axes import AXES_WORDS
from opv2v_doctor.facts.geometry.depth_maps import AGENTS_OWN, INVERSE
from opv2v_doctor.geometry.conventions import RIGHT, Convention
from opv2v_doctor.geometry.explanations import Explanation
from opv2v_doctor.geometry.mistakes import Mistake
from opv2v_doctor.geometry.readings import LENGTHENED
from opv2v_doctor.text import Text, quoted, sentence

FILES = {"z": Text("distance to the image plane"), "range": Text("range along the ray")}
OFFSETS = {
    "ignored": Text("the cameras are taken to sit where the LiDAR is"),
    "added": Text(
        "depth is looked up as if the cameras sat where the LiDAR is, then lengthened by their offset"
    ),
}
STEPS = {  # what the repair of a step is called
    "depth": Text("the reading of depth"),
    "scale": Text("the unit of depth"),
    "function": Text("the function of depth"),
    "offsets": Text("camera offsets"),
    "mirrored": Text("left and right"),
    "flipped": Text("up and down"),
    "turn": Text("azimuth"),
    "crop": Text("intrinsics"),
    "source": Text("the frame of the files"),
    "rig": Text("camera poses"),
    "poses": Text("pose convention"),
}
AXES = {
    "opencv": Text("its axes are OpenCV's (x right, y down, z forward)"),
    "opengl": Text("its axes are OpenGL's (x right, y up, z back)"),
    "upside down": Text("its y points up where z points forward: what is above lies below"),
    "unconverted": Text("its axes are still CARLA's"),
    "half converted": Text("only one of its two frames is in OpenCV axes"),
    "mirrored": Text(
        "CARLA's left-handed axes are taken for right-handed ones: left and right are exchanged"
    ),
}
RELATIONS = {
    "agent to first": Text("agent to first"),
    "first to agent": Text("first to agent"),
    "agent to world": Text("agent to world"),
    "world to agent": Text("world to agent"),
}
DEPTHS = {
    LENGTHENED: Text("depthmap holds the range along the ray, where z is expected of a single camera"),
}
CROPPED = {
    "covered": Text("images are resized and cropped to their middle, camera_intrinsics do not follow that"),
    "stretched": Text("images are resized, camera_intrinsics do not follow that"),
    "as the image shows": Text("camera_intrinsics do not follow what is done to the images"),
    "cut": Text("images are cropped to their middle, camera_intrinsics do not follow that"),
}
SOURCES = {
    "another agent": Text("another agent"),
    "another frame": Text("another frame"),
    "the frame before": Text("the frame before"),
    "the frame after": Text("the frame after"),
    "another camera": Text("another camera"),
    "the LiDAR": Text("the LiDAR of the agent"),
}
MISTAKES = {
    "transposed": "their rotations are transposed, their positions are right",
    "quaternion": "the numbers of a quaternion are taken in another order: {what}",
    "not turned": "their rotations are the identity, their positions are right",
    "level": "roll and pitch are left out of them, positions are right",
    "not moved": "their positions are 0, their rotations are right",
    "no height": "their height is 0: the difference in height is left out",
    "position of the inverse": "their positions are those of the inverse, their rotations are right",
    "scaled": "their positions are {number:.4g} times the metres of the files, their rotations are right",
    "axes of the position": "their positions are ({what}) of the right (x, y, z), their rotations are right",
    "multiplied the other way": "they are T(agent) @ inv(T(first)), expected inv(T(first)) @ T(agent)",
    "dropped": "they are made without {what}",
    "radians": "{what} is taken for radians, the other angles are right",
    "wrapped": "{what} is taken modulo 180 degrees in the numbers that they are made of",
    "unsigned": "{what} has lost its sign in the numbers that they are made of",
    "whole": "{what} are cut to whole numbers before they are made of them",
    "sign": "{what} has the wrong sign in the numbers that they are made of",
    "exchanged": "{what} are exchanged in the numbers that they are made of",
    "turned": "each is turned by {number:.2f} degrees in {what} axes",
    "moved": "each is moved by ({x:.2f}, {y:.2f}, {z:.2f}) m in {what} axes",
    "turned and moved": "each is turned by {number:.2f} degrees and moved by ({x:.2f}, {y:.2f}, {z:.2f}) m "
    "in {what} axes",
}
RIGS = {
    INVERSE: Text("inverse extrinsics"),
    AGENTS_OWN: Text("the wrong convention of the agents' poses"),
    "mirrored axes": Text("mirrored axes"),
}


NEARLY = 0.01


def step_words(known: Explanation, step: str) -> Text:
    """What is done wrong in one step of a reading."""
    wrong, right = getattr(known.reading, step), getattr(known.right, step)
    match step:
        case "depth":
            return DEPTHS.get(wrong) or Text(
                "depth is read as {wrong} where the files hold {right}",
                wrong=FILES[wrong],
                right=FILES[right],
            )
        case "function":
            times = known.reading.scale / known.right.scale
            return Text(
                "depth is {times:.3g} times the {function} of its value in metres"
                if abs(times - 1) > NEARLY
                else "depth is the {function} of its value in metres",
                function=wrong,
                times=times,
            )
        case "scale":
            return Text("depth is {factor:g} times its value in metres", factor=wrong / right)
        case "offsets":
            return OFFSETS[wrong]
        case "turn":
            return Text(
                "depth is turned by {degrees:.1f} degrees to the right"
                if wrong > 0
                else "depth is turned by {degrees:.1f} degrees to the left",
                degrees=abs(wrong),
            )
        case "crop":
            return CROPPED.get(wrong) or Text(
                "images are cropped to {size}, their intrinsics are not", size=wrong.split()[0]
            )
        case "source":
            return Text("depth is that of {source}", source=source_words(wrong))
        case "rig":
            return Text("the cameras' poses are made by {rig}", rig=rig_words(wrong))
        case "mirrored":
            return Text("depth is mirrored: left is right")
    return Text("depth is upside down")


def reading_words(known: Explanation) -> Text:
    """All steps of a reading in one phrase."""
    return sentence(step_words(known, step) for step in known.steps)


def source_words(name: str) -> Text:
    """Whose files or poses are taken for a view's own: "the frame before", "agent 650"."""
    return SOURCES.get(name) or Text("agent {name}", name=name.removeprefix("agent "))


def other_words(other: str, end: str) -> Text:
    """Whose poses they are, or whose they lead to."""
    if other == "itself":
        return Text(
            "they lead to each view's own agent, expected the first one's LiDAR: all are the identity"
        )
    name = quoted(other.removeprefix("entry ")) if other.startswith("entry ") else source_words(other)
    if end == "first":
        return Text("they lead to {other}, expected the LiDAR of the first agent", other=name)
    return Text("they are those of {other}", other=name)


def mistake_words(mistake: Mistake) -> Text:
    """What was done to right poses, or to the numbers that they are made of."""
    template = MISTAKES[mistake.kind]
    return Text(
        template,
        what=mistake.what,
        number=mistake.numbers[0] if mistake.numbers else 0.0,
        x=mistake.numbers[-3] if len(mistake.numbers) > 2 else 0.0,
        y=mistake.numbers[-2] if len(mistake.numbers) > 2 else 0.0,
        z=mistake.numbers[-1] if len(mistake.numbers) > 2 else 0.0,
    )


def rig_words(name: str) -> Text:
    """A wrong way to place cameras; a formula is told as it is."""
    return RIGS.get(name) or quoted(name)


def convention_words(convention: Convention, right: Convention = RIGHT) -> Text:
    """In what a convention differs from the right one: OPV2V's, in the axes that are declared."""
    parts = []
    if convention.rotation != RIGHT.rotation:
        parts.append(
            Text(
                "the rotation is {wrong}, OPV2V's is {right}",
                wrong=convention.rotation,
                right=RIGHT.rotation,
            )
        )
    if convention.names != RIGHT.names:
        parts.append(
            Text(
                "the angles are read as {wrong}, the files hold {right}",
                wrong=convention.names,
                right=RIGHT.names,
            )
        )
    if not convention.degrees:
        parts.append(Text("degrees are taken for radians"))
    if convention.axes != right.axes:
        parts.append(AXES[convention.axes])
        if right.axes != RIGHT.axes:
            parts.append(Text("declared are {axes}", axes=AXES_WORDS[right.axes]))
    if convention.relation != RIGHT.relation:
        parts.append(
            Text(
                "the pose is {wrong}, expected {right}",
                wrong=RELATIONS[convention.relation],
                right=RELATIONS[RIGHT.relation],
            )
        )
    return sentence(parts)
