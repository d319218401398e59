"""The exam is fair: made again by its seed, of every kind, without what changes nothing, judged by rules."""

import json
import shutil
from argparse import Namespace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from exam import code_kinds, data_kinds, other_ways  # noqa: F401 (variations register themselves)
from exam.__main__ import _worked
from exam.choices import TRAINED, WISHES, is_left_alone
from exam.code_kinds import Module, made, module_of, places
from exam.config_kinds import config_made, config_places
from exam.difference import SMALLEST, TOLERANCE, difference
from exam.generator import PANORAMA, PINHOLE, SHARED, generated
from exam.healthy import VARIATIONS
from exam.judgement import alarms, classified, known, topics
from exam.report import read, report
from exam.trial import Healthy, Warm, _effect, described
from opv2v_doctor.sandbox.scene import write_scene
from opv2v_doctor.sandbox.template import CACHES, MACHINE, PLACEHOLDER, TEMPLATE

CYL = "mapanything/datasets/opv2v_cyl.py"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded repository with a scene of small images; to be read or copied."""
    directory = tmp_path_factory.mktemp("exam") / "repository"
    shutil.copytree(TEMPLATE, directory, ignore=CACHES)
    machine = directory / MACHINE
    machine.write_text(machine.read_text().replace(PLACEHOLDER, str(directory)))
    scenarios = {"train": (4,), "validate": (4,), "test": (4,)}
    images, depths = directory / data_kinds.IMAGES, directory / data_kinds.DEPTHS
    write_scene(images, depths, image_size=(40, 30), scenarios=scenarios)
    return directory


def moved(repo: Path, place: Path) -> Path:
    """A copy whose config says where it is."""
    shutil.copytree(repo, place)
    machine = place / MACHINE
    machine.write_text(machine.read_text().replace(str(repo), str(place)))
    return place


def test_a_seed_makes_the_same_mutations_again(repo: Path) -> None:
    once, again, other = (
        [described(generated(seed, number, repo, None)[1]) for number in range(40)] for seed in (3, 3, 4)
    )
    assert once == again
    assert once != other
    assert {each["group"] for each in once} == {"code", "config", "data"}


def test_a_number_makes_its_mutation_alone(repo: Path) -> None:
    launches = {generated(5, number, repo, None)[0] for number in range(20)}
    assert launches == {PANORAMA, PINHOLE}
    assert described(generated(5, 19, repo, None)[1]) == described(generated(5, 19, repo, None)[1])


def test_mutations_change_their_files_and_parse(repo: Path, tmp_path: Path) -> None:
    copy = moved(repo, tmp_path / "copy")
    for number in range(80):
        mutation = generated(7, number, repo, None)[1]
        if mutation.files:
            continue
        path = copy / mutation.path
        before = path.read_text()
        mutation.apply(copy)
        after = path.read_text()
        assert after != before
        assert 1 <= mutation.line <= len(after.splitlines()) + 1
        if mutation.group == "code":
            compile(after, mutation.path, "exec")
        else:
            yaml.safe_load(after)
        with pytest.raises(ValueError, match="is not what"):
            mutation.apply(copy)
        path.write_text(before)


@pytest.mark.parametrize("kind", code_kinds.KINDS)
def test_each_kind_of_code_can_be_made(kind: str, repo: Path) -> None:
    modules = [
        module_of(str(path.relative_to(repo)), path.read_text())
        for pattern in TRAINED
        for path in sorted(repo.glob(pattern))
    ]
    edits = [
        (module, edit)
        for module in modules
        for found in places(module, None).get(kind, {}).values()
        for edit in found
    ]
    random = Random(0)
    mutations = [made(kind, *random.choice(edits)) for _ in range(10)]
    assert any(mutations)
    assert {each.kind for each in mutations if each} == {kind}


def test_kinds_of_code_do_what_they_say() -> None:
    text = "def f(a, b):\n    for c in a:\n        g(c, b)\n    return a @ b.T[1:]\n"
    module = Module("m.py", text)

    def of(kind: str) -> set[str]:
        edits = [edit for found in places(module, None)[kind].values() for edit in found]
        return {mutation.about for edit in edits if (mutation := made(kind, module, edit))}

    assert "-        g(c, b)\n+        pass" in of("drop_call")
    assert "+    g(c, b)" in " ".join(of("move_call"))
    assert of("swap_arguments") == {"-        g(c, b)\n+        g(b, c)"}
    assert "-    return a @ b.T[1:]\n+    return b.T[1:] @ a" in of("transpose_or_invert")
    assert "-    return a @ b.T[1:]\n+    return a @ b.T[2:]" in of("off_by_one")


def test_only_lines_that_run_are_mutated() -> None:
    text = "def f(a):\n    if a > 1:\n        return a - 1\n    return a + 1\n"
    ran = places(Module("m.py", text), frozenset({1, 2, 4}))
    assert [edit[2] for edit in ran["arithmetic"]["f"]] == ["(a - (1))"]


def test_what_only_prints_or_is_a_choice_is_left_alone() -> None:
    assert is_left_alone("mapanything/train/training.py", "train", '    print(f"{args}")')
    assert is_left_alone("mapanything/models/mapanything.py", "MapAnything.__init__", "width = 16")
    assert not is_left_alone("mapanything/train/training.py", "train", "    seed = 1")
    assert "lr" in WISHES and not any(
        "lr" in place[2] for place in config_places("lr: 0.1\n").get("config_value", [])
    )


def test_each_kind_of_config_can_be_made(repo: Path) -> None:
    names = (*SHARED, "dataset/opv2v/val/cyl_coop.yaml", "dataset/opv2v_cyl_coop_ft.yaml")
    kinds: dict[str, list[str]] = {}
    for name in names:
        text = (repo / "configs" / name).read_text()
        for kind, found in config_places(text).items():
            for each in found:
                mutation = config_made(f"configs/{name}", text, each)
                assert mutation.kind == kind
                kinds.setdefault(kind, []).append(mutation.about)
    assert set(kinds) == {
        "config_value", "config_reference", "config_key_dropped", "config_argument_dropped",
        "exchange_values", "expression_number", "expression_word", "expression_term_dropped",
    }  # fmt: skip
    assert any("+freeze_val_samples_across_all_epochs: false" in about for about in kinds["config_value"])
    assert any("+split: ${dataset.opv2v.split_names.train}" in about for about in kinds["config_reference"])


@pytest.mark.parametrize("kind", data_kinds.KINDS)
def test_each_kind_of_data_changes_its_files(kind: str, repo: Path, tmp_path: Path) -> None:
    mutation = data_kinds.data_mutation(kind, repo, Random(kind))
    for file in data_kinds.agents(repo):
        for root in (data_kinds.IMAGES, data_kinds.DEPTHS):
            shutil.copytree(repo / root / file, tmp_path / root / file)
    mutation.apply(tmp_path)
    changed = {
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*.*")
        if path.read_bytes() != (repo / path.relative_to(tmp_path)).read_bytes()
    }
    assert changed
    assert changed <= set(mutation.files)


def measured(*values: float, ended: bool = True, hung: bool = False) -> dict[str, Any]:
    """One phase of one rank."""
    return {"ranks": [{"values": {"loss": list(values)}}], "ended": ended, "hung": hung}


def test_rounding_is_no_difference() -> None:
    wanted = measured(1.0, float("inf"))
    within, beyond = 1 + 0.9 * (TOLERANCE + SMALLEST), 1 + 2.1 * (TOLERANCE + SMALLEST)
    assert difference(measured(1.0), measured(within)) == ""
    assert difference(measured(1.0), measured(beyond)) == "loss (1 values of rank 0)"
    assert difference(wanted, wanted) == ""
    assert difference(wanted, measured(1.0, 2.0)) != ""
    assert difference(wanted, measured(ended=False)) == "it fails"
    assert difference(wanted, measured(ended=False, hung=True)) == "it hangs"


def test_what_changes_nothing_is_told_from_what_does(repo: Path, tmp_path: Path) -> None:
    healthy, warm = Healthy(tmp_path), Warm()
    asked = {"samples": True, "traced": True, "healthy": ""}
    try:
        answer = warm.measure(moved(repo, healthy.repo), PANORAMA, tmp_path, 120, **asked)
        assert answer["difference"] == "", answer["phases"]
        assert answer["phases"]["samples"]["ranks"][0]["lines"][CYL]
        healthy.record(PANORAMA, True).write_text(json.dumps(answer))
        effects = {}
        for name, old, new in (
            ("equivalent", "agents[1:])[: count - 1]", "agents[1:])[: count + 0 - 1]"),
            ("kept", '"depthmap": panorama.depth,', '"depthmap": panorama.depth * 2,'),
            ("loud", '"depthmap": panorama.depth,', '"depthmap": panorama.depths,'),
        ):
            copy = moved(repo, tmp_path / name)
            text = (copy / CYL).read_text()
            (copy / CYL).write_text(text.replace(old, new))
            assert text.count(old) == 1
            effects[name] = _effect(copy, PANORAMA, healthy, warm, tmp_path, samples=True)
    finally:
        warm.end()
    assert {name: effect["effect"] for name, effect in effects.items()} == {n: n for n in effects}
    assert "depthmap" in effects["kept"]["changes"]
    assert "AttributeError" in effects["loud"]["changes"]


def said(code: str, message: str, path: str | None = None, line: int | None = None) -> dict[str, Any]:
    """What the JSON report has of a failed check."""
    finding = {"severity": "error", "message": message, "path": path, "line": line, "hint": ""}
    place = {"reason": "", "path": None, "line": None}
    return {"code": code, "tier": "data", "status": "failed", "findings": [finding], **place}


SOURCE = (
    "def near():\n    a = 1\n\n\ndef _view():\n    b = 1\n    c = 2\n    d = 3\n    e = 4\n    depth = 5\n"
)
MUTATION = {
    "kind": "scale_unit", "path": CYL, "line": 10, "function": "_view", "files": [],
    "about": "-    depth = 4\n+    depth = 5",
}  # fmt: skip


def test_a_finding_of_the_thing_at_its_place_is_named_and_placed() -> None:
    heard = alarms([said("GEO001", "depth is 1000 times too large", f"REPO/{CYL}", 6)], {})
    judged = classified(MUTATION, heard, SOURCE)
    assert judged == {"topics": ["depth"], "found": True, "named": True, "placed": True, "blocked": False}
    elsewhere = alarms([said("GEO001", "depth is 1000 times too large", f"REPO/{CYL}", 2)], {})
    assert not classified(MUTATION, elsewhere, SOURCE)["placed"]


@pytest.mark.parametrize(
    ("path", "function", "about", "expected"),
    [
        ("configs/loss/opv2v_pose_loss.yaml", "test_criterion", "-a\n+b", ["criterion"]),
        ("mapanything/utils/train_tools.py", "load_model", "-a\n+b", ["resume"]),
        (CYL, "OPV2VCoopCylindricalDataset._view", '-"depthmap": a\n+"depthmap": b', ["depth"]),
        ("mapanything/datasets/opv2v_panorama.py", "bilinear", "-a\n+b", ["stitching"]),
        ("mapanything/train/training.py", "train", "-a\n+b", ["training"]),
    ],
)
def test_what_a_mutation_is_about(path: str, function: str, about: str, expected: list[str]) -> None:
    mutation = {**MUTATION, "path": path, "function": function, "about": about}
    assert topics(mutation) == expected


def test_a_finding_of_something_else_is_neither() -> None:
    heard = alarms(
        [said("SMK004", "each epoch has the same samples", "REPO/mapanything/train/training.py", 10)], {}
    )
    judged = classified(MUTATION, heard, SOURCE)
    assert (judged["found"], judged["named"], judged["placed"]) == (True, False, False)


def test_what_blames_another_file_or_explains_nothing_names_nothing() -> None:
    file = "data/opv2v_depth/train/2021_08_16/4279/000069_camera1_depth.npy"
    mutation = {**MUTATION, "kind": "depth_scaled", "path": file, "function": "", "files": [file]}
    cloud = file.replace("opv2v_depth", "OPV2V").replace("_camera1_depth.npy", ".pcd")
    blamed = classified(mutation, alarms([said("GEO016", "depth is 2 times too small", cloud)], {}), "")
    assert (blamed["found"], blamed["named"], blamed["placed"]) == (True, False, False)
    heard = alarms([said("GEO008", "depth does not fit: unexplained")], {})
    assert not classified(mutation, heard, "")["named"]


def test_what_the_healthy_one_is_told_is_no_alarm_and_what_is_blocked_no_find() -> None:
    warned = said("DAT010", "depth covers 4 %")
    assert alarms([warned], known([warned])) == []
    assert alarms([said("DAT010", "depth covers 1 %")], known([warned])) == []
    reason = {"text": "it ended with exit code 1", "template": "it ended", "values": {}}
    blocked = {**warned, "code": "SMK001", "status": "blocked", "reason": reason}
    follows = {**blocked, "code": "SMK002", "reason": {**reason, "text": "needs SMK001"}}
    heard = alarms([blocked, follows], known([warned]))
    assert [each["message"] for each in heard] == ["it ended with exit code 1"]
    judged = classified(MUTATION, heard, SOURCE)
    assert (judged["found"], judged["blocked"]) == (False, True)


def test_a_data_file_is_placed_by_its_name_or_by_its_agent_and_frame() -> None:
    file = "data/opv2v_depth/train/2021_08_16/4279/000069_camera1_depth.npy"
    mutation = {**MUTATION, "kind": "depth_scaled", "path": file, "line": 0, "function": "", "files": [file]}
    assert topics(mutation) == ["depth"]
    for message, placed in (
        ("depth of 2021_08_16/4279 at 000069 is off", True),
        ("depth of 2021_08_16/4279 at 000069 in camera2 is off", False),
        ("depth of 2021_08_16/4288 at 000069 is off", False),
        ("4279 samples at 000069_camera1_depth.npy", True),
    ):
        assert classified(mutation, alarms([said("GEO001", message)], {}), "")["placed"] is placed, message


@pytest.mark.parametrize("name", VARIATIONS)
def test_each_healthy_variation_finds_its_place(name: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(TEMPLATE, copy, ignore=CACHES)
    depth = copy / "data/opv2v_depth/a_depth.npy"
    depth.parent.mkdir(parents=True)
    shutil.copy(Path(__file__), copy / "unread")
    import numpy as np

    np.save(depth, np.ones((4, 4), np.float32))
    for folder in ("OPV2V/validate", "OPV2V/train", "opv2v_depth/validate"):
        (copy / "data" / folder).mkdir(parents=True)
    before = {path: path.read_bytes() for path in copy.rglob("*.*") if path.is_file()}
    VARIATIONS[name].edit(copy)
    after = {path: path.read_bytes() for path in copy.rglob("*.*") if path.is_file()}
    assert after != before
    for path, content in after.items():
        if path.suffix == ".py":
            compile(content, str(path), "exec")
        elif path.suffix == ".yaml" and path.name != "demo.yaml":
            yaml.safe_load(content)


def test_there_are_enough_healthy_variations() -> None:
    assert len(VARIATIONS) >= 25
    assert {each.launch for each in VARIATIONS.values()} == {PANORAMA, PINHOLE}


def test_a_report_counts_and_lists(tmp_path: Path) -> None:
    record = {
        "seed": 1,
        "group": "code",
        "launch": "panorama",
        "changes": "loss",
        "topics": ["depth"],
        **MUTATION,
    }
    heard = alarms([said("GEO001", "depth is off", f"REPO/{CYL}", 6)], {})
    lines = [
        {**record, "number": 0, "effect": "equivalent"},
        {**record, "number": 1, "effect": "kept", "verdict": "missed", "stage": ""},
        {
            **record, "number": 2, "effect": "kept", "verdict": "found", "stage": "data", "named": True,
            "placed": False, "said": heard,
        },
    ]  # fmt: skip
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = list(report(read(path)))
    assert told[0] == "3 mutations: 1 equivalent, 2 kept"
    assert told[3].split() == ["all", "2", "1", "1", "0", "0", "0", "1", "0", "0", "50", "%"]
    text = "\n".join(told)
    assert (
        text.index("== missed")
        < text.index("#1:1 ")
        < text.index("== found, and not placed")
        < text.index("#1:2 ")
    )
    assert "GEO001 failed: depth is off" in text


def test_a_run_goes_on_with_what_is_open_and_then_with_new_numbers() -> None:
    kept = {"effect": "kept", "seconds_of": {"data": 1}}
    records: dict[int, dict[str, Any]] = {
        0: {**kept, "number": 0, "verdict": "found"},
        1: {**kept, "number": 1, "verdict": "missed"},
        3: {"number": 3, "effect": "equivalent"},
    }
    asked: list[int] = []

    def work(number: int) -> dict[str, Any]:
        asked.append(number)
        effect = {"effect": "loud"} if number == 2 else {**kept, "verdict": "found"}
        return {"number": number, **effect}

    chosen = Namespace(stages="data,smoke", workers=1, only=None, number=4)
    assert [each["number"] for each in _worked(work, chosen, records)] == asked == [1, 2, 4, 5]
    assert [each["number"] for each in _worked(work, chosen, records)] == []
