"""What an examination said of a mutation: found, named, placed, or nothing.

Found: a check fails, warns or crashes that is silent on the healthy repository. Named: one of those is of a
family that judges what was changed, and uses a word of it; one that is unexplained, or blames a file
of another kind, does not. Placed: one of them stands in the changed file, within three lines or in the same
function, or says which data file it is. A check that is only blocked tells that there is no answer: it is
counted by itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

NEAR = 3  # lines
ALARMS = ("failed", "warned", "crashed")

# Which families of checks judge a topic, and words of which a finding that names it has one.
TOPICS: Mapping[str, tuple[str, str]] = {
    "inference": ("INF", r"infer|predict|checkpoint|output|script"),
    "resume": ("SMK CKP LOG CFG", r"resum|restor|epoch"),
    "checkpoint": ("CKP SMK INF LOG", r"checkpoint|best|save|kept|resum|weights"),
    "pretrained": ("CFG CKP SMK INF", r"pretrained|weights|load"),
    "rate": ("SCH SMK LOG", r"rate|schedule|warm"),
    "optimizer": (
        "SMK CFG SCH CKP",
        r"gradient|optimi|parameter|weight|update|step|frozen|group|accum|submodule|scaler|decay",
    ),
    "evaluation": ("CFG LDR SMK DAT LOG", r"eval|validat|test|metric|median|best|sampl|batch"),
    "sampling": (
        "LDR DAT SMK CFG LCH",
        r"sampl|epoch|batch|loader|views|rank|step|scen|split|draw|same|seed|random|order|process",
    ),
    "criterion": ("CRT SMK LOG CFG DAT", r"loss|criterion|term|gradient|head|parameter"),
    "mask": ("MSK DAT GEO CRT", r"mask|valid"),
    "image": ("GEO DAT AUD MSK", r"imag|colour|pictur|channel|pixel|normal|shows"),
    "intrinsics": (
        "GEO DAT CFG AUD MSK",
        r"intrinsic|focal|principal|crop|resiz|pixel|size|\bray|field of view|resolution",
    ),
    "rays": ("GEO DAT CFG MSK", r"\bray|azimuth|elevation|panoram|field of view|direction|turned|mirror"),
    "depth": ("GEO DAT AUD MSK CRT", r"depth|range|metre|scale|distance|surface"),
    "pose": (
        "GEO DAT AUD CRT INF",
        r"pose|rotat|turned|camera|lidar|agent|axes|axis|euler|moved|quaternion|offset|place",
    ),
    "stitching": ("GEO MSK DAT", r"panoram|camera|image|depth|mask|pixel"),
    "model": ("INF CRT SMK GEO", r"model|predict|output|head|infer|gradient|points"),
    "training": ("SMK LOG SCH CFG LDR CKP", r"train|epoch|step|rank|loss"),
}
# Where it is settles what a mutation is about: path::function.
BY_PLACE: Sequence[tuple[str, str]] = (
    ("criterion", r"losses\.py|details\.py|::_loss|configs/loss/"),
    ("inference", r"infer\.py|::validate_input|MapAnything\.(infer|_inputs|_finish)"),
    ("pretrained", r"MapAnything\._load$|::init_model"),
    ("model", r"models/"),
    ("resume", r"::load_model|load_state_dict"),
    ("checkpoint", r"::save_|\.save$"),
    ("rate", r"::adjust_learning_rate"),
    ("optimizer", r"::get_parameter_groups|NativeScaler"),
    ("evaluation", r"::test_|get_test_data_loader|metric_logger"),
    ("sampling", r"easy_dataset|batched_sampler|randomness|::set_epoch|get_train_data_loader|DynamicBatch"
     r"|_find_scenes|_choose_agents"),
    ("image", r"image\.py"),
    ("intrinsics", r"cropping\.py"),
    ("rays", r"::pinhole_rays|\._rays"),
    ("pose", r"opv2v_poses|::matrix_to_quaternion|::quaternion_to_matrix|\._reference"),
)  # fmt: skip
# Elsewhere the words of the changed lines do: all topics that they name.
BY_WORD: Sequence[tuple[str, str]] = (
    ("resume", r"resume|start_epoch|load_model"),
    ("checkpoint", r"save|checkpoint|\bbest|keep_freq|median"),
    ("pretrained", r"pretrained"),
    ("rate", r"learning_rate|warmup|\blr\b|epoch_f|schedule"),
    ("optimizer", r"optimizer|weight_decay|submodule|zero_grad|accum|update|loss_scaler|Distributed|model"),
    ("evaluation", r"test|eval|freeze_val|validat"),
    ("sampling", r"sampl|epoch|seed|rng|views|shuffle|drop_last|dataset|world_size|rank|scen|split|workers"
     r"|retries|max_num_of_img|feature"),
    ("criterion", r"criterion|loss"),
    ("mask", r"mask|looks|painted|found"),
    ("image", r"image|img|norm_type|transform|colou?r|\.png"),
    ("intrinsics", r"intrinsic|resolution|principal|width|height"),
    ("rays", r"rays|azimuth|elevation|fov|per_radian|directions"),
    ("depth", r"depth|range|along_ray|inverse|pts3d|points|valid_mask"),
    ("pose", r"pose|cords|offset|rotation|trans\b|quat|camera_ids|agent|camera"),
)  # fmt: skip
BY_FILE: Sequence[tuple[str, str]] = (
    ("stitching", r"opv2v_panorama"),
    ("training", r""),
)


def topics(mutation: Mapping[str, Any]) -> list[str]:
    """What a mutation is about."""
    path, kind = mutation["path"], mutation["kind"]
    if mutation["files"]:
        of_frame = "intrinsics" if kind in ("focal_length", "principal_point") else "pose"
        return [{".npy": "depth", ".png": "image"}.get(Path(path).suffix, of_frame)]
    place = f"{path}::{mutation['function']}"
    settled = [name for name, where in BY_PLACE if re.search(where, place)][:1]
    changed = " ".join(line[1:] for line in mutation["about"].splitlines())
    named = [name for name, words in BY_WORD if re.search(words, changed)]
    return settled or named or [name for name, where in BY_FILE if re.search(where, path)][:1]


def alarms(
    results: Iterable[Mapping[str, Any]], healthy: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """What is said of the mutated repository and not of the healthy one: one entry a finding.

    `healthy` holds, by code, what is said there: messages, and the status for a check that blocks.
    """
    said = []
    for result in results:
        known = healthy.get(result["code"], ())
        for place in _said(result):
            if place["message"] not in known and place["status"] not in known:
                said.append(place)
    return said


def known(results: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What the healthy repository is told, as `alarms` takes it."""
    return {
        result["code"]: [each for said in _said(result) for each in (said["message"], said["status"])]
        for result in results
    }


def _said(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    reason = str(result["reason"]["text"] if isinstance(result["reason"], Mapping) else result["reason"])
    entry = {"code": result["code"], "tier": result["tier"], "status": result["status"]}
    if result["status"] in ALARMS:
        loud = [each for each in result["findings"] if each["severity"] != "note"]
        for each in loud or [{"message": reason, "path": result["path"], "line": result["line"], "hint": ""}]:
            yield {**entry, **{name: each[name] for name in ("message", "path", "line", "hint")}}
    elif result["status"] == "blocked" and not reason.startswith("needs "):  # which says so itself
        yield {
            **entry,
            "message": reason,
            "path": result["path"],
            "line": result["line"],
            "hint": "",
        }


def classified(mutation: Mapping[str, Any], said: Sequence[Mapping[str, Any]], source: str) -> dict[str, Any]:
    """found, named, placed: of what was said; `source` is the changed file, where it is a module."""
    loud = [each for each in said if each["status"] in ALARMS]
    about = topics(mutation)
    return {
        "topics": about,
        "found": bool(loud),
        "named": any(_names(each, about, mutation) for each in loud),
        "placed": any(_places(each, mutation, source) for each in loud),
        "blocked": not loud and bool(said),
    }


def _names(said: Mapping[str, Any], about: Sequence[str], mutation: Mapping[str, Any]) -> bool:
    """The family is one that judges it, and the words are of it; of a config key, its name will do."""
    text = f"{said['message']} {said['hint']}"
    if "unexplained" in text or _blames_another_kind(said, mutation):
        return False
    if mutation["path"].startswith("configs/") and mutation["function"] and mutation["function"] in text:
        return True
    return any(
        said["code"][:3] in families.split() and re.search(words, text, re.IGNORECASE)
        for families, words in (TOPICS[name] for name in about)
    )


def _places(said: Mapping[str, Any], mutation: Mapping[str, Any], source: str) -> bool:
    path, line = str(said["path"] or ""), said["line"]
    text = f"{said['message']} {said['hint']} {path}"
    if mutation["files"]:
        return not _blames_another_kind(said, mutation) and any(
            _named_file(file, text) for file in mutation["files"]
        )
    if not path.endswith(mutation["path"]) or not line:
        return False
    first, last = _function(source, mutation["line"]) if path.endswith(".py") else (0, 0)
    return bool(abs(line - mutation["line"]) <= NEAR or first <= line <= last)


def _blames_another_kind(said: Mapping[str, Any], mutation: Mapping[str, Any]) -> bool:
    """Whether it stands at a file that is not of the changed ones' kind: a cloud instead of a depth map."""
    suffix = Path(str(said["path"] or "")).suffix
    return suffix in (".pcd", ".npy", ".png", ".yaml") and suffix != Path(mutation["path"]).suffix


def _named_file(file: str, text: str) -> bool:
    """The file itself, or its agent and frame; of a camera's file, that camera, too, where one is named."""
    scenario, agent = file.split("/")[-3:-1]
    stem = Path(file).stem
    if Path(file).name in text:
        return agent in text
    frame = stem.split("_")[0]
    cameras = set(re.findall(r"camera\d", text))
    right = not cameras or "camera" not in stem or stem.split("_")[1] in cameras
    # an agent's number alone is short: it has to stand by itself
    return (
        right
        and bool(re.search(rf"(?<!\d){re.escape(agent)}(?!\d)", text))
        and (frame in text or scenario in text)
    )


def _function(source: str, line: int) -> tuple[int, int]:
    """First and last line of the innermost function around a line; an empty range where there is none."""
    around = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return max(around, default=(1, 0))
