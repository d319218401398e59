"""Inference checks: silent where inference equals training; each way to differ is named, with its line.

Scripts are variations of the repository's own, run on the healthy one: one interpreter serves them all.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
CODES = tuple(f"INF{number:03d}" for number in range(1, 9))
RUN, SCRIPT, MODEL = "experiments/opv2v_cyl_coop", "scripts/infer.py", "mapanything/models/mapanything.py"
BASE = "mapanything/datasets/base/base_dataset.py"
Edit = tuple[str, str]


def line_of(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


def examined(target: Target, *codes: str) -> dict[str, Result]:
    return {code: run_check(code, target) for code in codes or CODES}


def failing(found: dict[str, Result]) -> set[str]:
    return {code for code, result in found.items() if result.status in (Status.FAILED, Status.WARNED)}


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def script_of(target: Target) -> Path:
    return Path(str(target.settings.infer.script))


def wrong(result: Result) -> Any:
    """The first finding that is not a note."""
    return next(finding for finding in result.findings if finding.severity)


@pytest.fixture
def scripted(healthy: Path, tmp_path: Path) -> Iterator[Callable[..., Target]]:
    """A function that makes a target of the healthy repository with another inference script."""

    def target(*edits: Edit, text: str | None = None) -> Target:
        script = tmp_path / "infer.py"
        content = (healthy / SCRIPT).read_text() if text is None else text
        for old, new in edits:
            assert content.count(old) == 1
            content = content.replace(old, new)
        script.write_text(content)
        settings = tmp_path / "settings.toml"
        settings.write_text((healthy / "opv2v-doctor.toml").read_text().replace(SCRIPT, str(script)))
        return make_target(repo=healthy, settings_file=settings)

    yield target


def test_nothing_is_claimed_of_the_healthy_repository(healthy: Path) -> None:
    before = {path: path.stat().st_mtime for path in healthy.rglob("*")}
    found = examined(make_target(repo=healthy))
    assert {code: result.status for code, result in found.items()} == {
        **dict.fromkeys(CODES, Status.PASSED),
        "INF008": Status.SKIPPED,
    }
    own, script = found["INF001"].findings
    assert own.evidence["parts"] == script.evidence["parts"]
    assert all(loaded == elements for loaded, elements in script.evidence["parts"].values())  # type: ignore
    assert (script.path, script.line) == (
        healthy / SCRIPT,
        line_of(healthy / SCRIPT, "load_state_dict(weights)"),
    )
    assert {path: path.stat().st_mtime for path in healthy.rglob("*")} == before


def test_without_a_script_the_models_own_infer_is_compared(healthy: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text((healthy / "opv2v-doctor.toml").read_text().partition("[infer]")[0])
    found = examined(make_target(repo=healthy, settings_file=settings), "INF002", "INF004", "INF006")
    assert {result.status for result in found.values()} == {Status.PASSED}
    assert len(found["INF006"].findings) == 1


def test_without_a_checkpoint_all_are_skipped(healthy: Path, tmp_path: Path) -> None:
    target = make_target(repo=healthy, run=tmp_path)
    assert {result.status for result in examined(target).values()} == {Status.SKIPPED}


def test_images_as_bgr_are_told_from_another_normalisation(scripted: Callable[..., Target]) -> None:
    line = "return {name: view[name] for name in GIVEN}"
    reversed_channels = 'return {"img": view["img"].flip(1), "data_norm_type": view["data_norm_type"]}'
    target = scripted((line, reversed_channels))
    found = examined(target, "INF001", "INF002", "INF003", "INF004", "INF005", "INF007")
    assert failing(found) == {"INF004"}
    finding = wrong(found["INF004"])
    assert finding.evidence["reversed"] is True
    assert (finding.path, finding.line) == (script_of(target), line_of(script_of(target), "model.infer("))


def test_another_normalisation_is_told_with_its_line_through_each_channel(
    scripted: Callable[..., Target],
) -> None:
    target = scripted(
        (
            "return {name: view[name] for name in GIVEN}",
            "return {**view_of(view), 'img': view['img'] * 2 + 1}",
        ),
        ("def write(", "def view_of(view):\n    return {name: view[name] for name in GIVEN}\n\n\ndef write("),
    )
    finding = wrong(run_check("INF004", target))
    assert [(round(line["slope"], 3), round(line["offset"], 3)) for line in finding.evidence["lines"]] == [
        (2.0, 1.0)
    ] * 3


def test_a_view_that_is_left_out_is_told(scripted: Callable[..., Target]) -> None:
    target = scripted(("for view in views], use_amp", "for view in views[:2]], use_amp"))
    assert wrong(run_check("INF004", target)).evidence["views"] == [4, 2]


def test_another_precision_is_a_hazard_and_not_a_difference(scripted: Callable[..., Target]) -> None:
    target = scripted(("use_amp=amp, amp_dtype=amp_dtype", "use_amp=True"))
    found = examined(target, "INF004", "INF006")
    assert found["INF004"].status is Status.WARNED
    assert wrong(found["INF004"]).evidence["precision"] == [None, "torch.bfloat16"]
    assert found["INF006"].status is Status.PASSED


def test_train_mode_is_told_with_the_modules(scripted: Callable[..., Target]) -> None:
    found = examined(scripted(("model.to(device).eval()", "model.to(device)")), "INF003", "INF004", "INF006")
    assert failing(found) == {"INF003"}
    assert "encoder" in wrong(found["INF003"]).evidence["modules"]


def test_weights_that_are_left_out_are_counted_by_sub_module(scripted: Callable[..., Target]) -> None:
    fewer = '{n: w for n, w in weights.items() if "pose" not in n}'
    target = scripted(("model.load_state_dict(weights)", f"model.load_state_dict({fewer}, strict=False)"))
    finding = wrong(run_check("INF001", target))
    parts = {
        name: loaded for name, (loaded, elements) in finding.evidence["parts"].items() if loaded < elements
    }
    assert parts == {"pose_head": 0}
    assert finding.line == line_of(script_of(target), "strict=False")


@pytest.mark.parametrize("text", ["import sys; sys.exit(3)", "raise ValueError('no')", "pass"])
def test_a_script_that_does_not_infer_is_no_answer(scripted: Callable[..., Target], text: str) -> None:
    result = run_check("INF004", scripted(text=text))
    assert result.status is Status.BLOCKED
    assert "infer" in result.reason or "no" in result.reason


def test_a_config_that_a_later_launch_wrote_is_told(healthy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(healthy / RUN, run)
    file = run / ".hydra/config.yaml"
    file.write_text(file.read_text().replace("width: 16", "width: 24"))
    finding = wrong(run_check("INF002", make_target(repo=healthy, run=run)))
    assert finding.path == file
    assert finding.evidence["differences"] == {"model.model_config.width": {"trained": "16", "used": "24"}}


@pytest.mark.parametrize("stored", [True, False])
def test_a_run_that_was_moved_is_opened_with_the_paths_of_today(
    broken: Broken, tmp_path: Path, stored: bool
) -> None:
    before = broken()
    repo = before.rename(tmp_path / "elsewhere")
    machine = repo / "configs/machine/demo.yaml"
    machine.write_text(machine.read_text().replace(str(before), str(repo)))
    if not stored:
        for path in (repo / RUN).glob("*.pth"):
            kept = torch.load(path, weights_only=False)
            torch.save({key: value for key, value in kept.items() if key != "args"}, path)
    found = examined(make_target(repo=repo))
    assert {result.status for result in found.values()} == {Status.PASSED, Status.SKIPPED}
    assert found["INF008"].status is Status.SKIPPED
    said = found["INF002"].findings[0].message
    assert f"{before}/data/OPV2V -> {repo}/data/OPV2V" in said
    assert not before.exists()


def test_faults_of_the_models_own_infer_are_named_with_their_lines(broken: Broken) -> None:
    repo = broken("scale_applied_twice", "mask_inverted", "ground_truth_poses_given")
    target, model = make_target(repo=repo), repo / MODEL
    replace(
        model, 'poses[:, :3, 3] = prediction["cam_trans"]', 'poses[:, :3, 3] = prediction["cam_trans"] * 2'
    )
    found = examined(target)
    assert failing(found) == {"INF004", "INF006", "INF007"}
    assert wrong(found["INF007"]).line == line_of(model, "@torch.inference_mode()")
    given = wrong(found["INF004"])
    assert set(given.evidence["keys"]) == {"camera_pose_quats", "camera_pose_trans"}
    assert (given.path, given.line) == (repo / SCRIPT, line_of(repo / SCRIPT, "model.infer("))
    told = {
        finding.evidence["part"]: finding
        for finding in found["INF006"].findings
        if "part" in finding.evidence
    }
    assert told["points"].line == line_of(model, 'prediction["pts3d"] * scale')
    assert told["pose"].line == line_of(model, 'prediction["camera_poses"] = poses')
    assert told["mask"].line == line_of(model, '"non_ambiguous_mask_logits"] < 0')
    assert told["points"].evidence["factor"] == pytest.approx(told["points"].evidence["scale"], rel=1e-3)


def test_random_evaluation_and_bent_ground_truth_are_told(broken: Broken) -> None:
    repo = broken()
    for place, old, new in (
        (
            MODEL,
            "scale = self.scale_head(shared).exp()",
            "scale = self.scale_head(shared).exp() + torch.rand(1)",
        ),
        (
            BASE,
            '"camera_pose_quats": matrix_to_quaternion(pose',
            '"camera_pose_quats": matrix_to_quaternion(turned',
        ),
        (BASE, "        points = depth[", "        turned = pose[:, [1, 0, 2]]\n        points = depth["),
        (BASE, "pose[:3, :3].T + pose[:3, 3],", "pose[:3, :3].T * 1.5 + pose[:3, 3],"),
    ):
        replace(repo / place, old, new)
    found = examined(make_target(repo=repo), "INF004", "INF005", "INF006", "INF007")
    assert failing(found) == {"INF005", "INF007"}
    assert found["INF005"].status is Status.WARNED
    assert "metric_scaling_factor" in wrong(found["INF005"]).evidence["outputs"]
    assert found["INF007"].status is Status.FAILED
