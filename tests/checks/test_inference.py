"""Inference checks: silent where inference equals training; each way to differ is named, with its line.

Scripts are variations of the repository's own, run on the healthy one: one interpreter serves them all.
"""

import dataclasses
import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from opv2v_doctor import Place
from opv2v_doctor.facts.predictions import wording
from opv2v_doctor.facts.predictions.comparisons import Figures, Fit, Turn, Unlike, Values
from opv2v_doctor.result import Result, Status, examined_text
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

OUTPUTS: Any = importlib.import_module("opv2v_doctor.checks.inference_outputs")  # an import hook serves it
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
    assert all(sum(one.count for one in found[code].examined) for code in CODES[:7])
    assert own.text.values["parts"] == script.text.values["parts"]
    assert all(loaded == elements for loaded, elements in script.text.values["parts"].values())  # type: ignore
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
    assert str(examined_text(found["INF002"].examined)).endswith(" values")


def test_without_a_checkpoint_all_but_what_needs_none_are_skipped(healthy: Path, tmp_path: Path) -> None:
    found = examined(make_target(repo=healthy, run=tmp_path))
    assert {code for code, result in found.items() if result.status is not Status.SKIPPED} == {"INF007"}
    assert found["INF007"].status is Status.PASSED
    assert str(examined_text(found["INF007"].examined)) == "4 views, 4 predictions"


LOADED = """\
    weights = torch.load(checkpoint, map_location="cpu", weights_only=False)["model"]
    model.load_state_dict(weights)
"""
NEVER_THERE = """\
    newest = Path(checkpoint).parent / "checkpoint_best.pth"
    if newest.is_file():
        model.load_state_dict(torch.load(newest, map_location="cpu", weights_only=False)["model"])
"""


def test_a_checkpoint_that_is_never_loaded_is_told_though_pretrained_weights_were(
    scripted: Callable[..., Target],
) -> None:
    target = scripted((LOADED, NEVER_THERE))
    result = run_check("INF001", target)
    finding = wrong(result)
    assert (finding.path, finding.line) == (script_of(target), line_of(script_of(target), "newest.is_file()"))
    values = finding.text.values
    assert str(values["missed"]).endswith("checkpoint_best.pth")
    assert str(values["source"]).endswith("pretrained.pth")


READS = "torch.load(checkpoint,"
DROPPED = "    model.load_state_dict(weights)\n"
NONE_FITS = "    model.load_state_dict({'module.' + n: w for n, w in weights.items()}, strict=False)\n"


@pytest.mark.parametrize(
    ("old", "new", "words", "line"),
    [
        (
            READS,
            'torch.load(Path(checkpoint).with_name("checkpoint-1.pth"),',
            "checkpoint-1.pth",
            "torch.load(",
        ),
        (
            READS,
            'torch.load(Path(checkpoint).with_name("checkpoint-last.pth"),',
            "same weights",
            "torch.load(",
        ),
        (DROPPED, "", "reads checkpoint-best.pth, but infers with", "torch.load("),
        (DROPPED, NONE_FITS, "stay as initialised", "load_state_dict("),
    ],
)
def test_where_the_weights_come_from_is_told(
    old: str, new: str, words: str, line: str, scripted: Callable[..., Target]
) -> None:
    target = scripted((old, new))
    finding = wrong(run_check("INF001", target))
    assert words in finding.message
    assert (finding.path, finding.line) == (script_of(target), line_of(script_of(target), line))


ARRAYS = "arrays = {name: prediction[name][0].cpu().numpy() for name in names}"


@pytest.mark.parametrize(
    ("change", "words", "line"),
    [
        ('arrays["pts3d"] = prediction["pts3d_cam"][0].numpy()', "the points around the camera", "pts3d_cam"),
        (
            'np.save(folder / f"{view[\'agent_id\'][0]}_depth.npy", prediction["depth_z"][0].numpy() * 2)',
            "2 times",
            "_depth.npy",
        ),
    ],
)
def test_the_line_that_changes_what_is_written_is_told(
    change: str, words: str, line: str, scripted: Callable[..., Target]
) -> None:
    target = scripted((ARRAYS, f"{ARRAYS}\n        {change}"))
    result = run_check("INF009", target)
    told = [finding for finding in result.findings if finding.severity]
    assert any(words in finding.message for finding in told)
    assert (told[0].path, told[0].line) == (script_of(target), line_of(script_of(target), line))


OTHER_FORMS = """
        depth = arrays["depth_along_ray"][..., 0].astype("f2")
        np.save(folder / f"{view['agent_id'][0]}_depth.npy", depth)
        np.save(Path("here.npy"), arrays["mask"])
"""


def test_files_of_another_form_are_right_and_unknown_ones_are_named(scripted: Callable[..., Target]) -> None:
    result = run_check("INF009", scripted((ARRAYS, ARRAYS + OTHER_FORMS)))
    assert result.status is Status.PASSED, [finding.message for finding in result.findings]
    assert "here.npy ([infer] outputs does not say what it is)" in result.findings[0].message


def test_a_script_that_writes_nothing_is_told(scripted: Callable[..., Target]) -> None:
    target = scripted(("np.savez(folder /", "dict(at=folder /"))
    finding = wrong(run_check("INF009", target))
    assert "wrote no file" in finding.message
    assert finding.path == script_of(target)


UNHEARD = (
    "(lambda at, **_: __import__('sqlite3').connect(at).execute('create table depth (metres)'))(folder /"
)


def test_a_file_that_is_written_unheard_is_no_lack_of_files(scripted: Callable[..., Target]) -> None:
    result = run_check("INF009", scripted(("np.savez(folder /", UNHEARD)))
    assert result.status is Status.SKIPPED, [finding.message for finding in result.findings]


def test_a_write_into_the_repository_is_refused(scripted: Callable[..., Target]) -> None:
    target = scripted(("np.savez(folder /", "np.savez(Path(datasets.__file__).parent /"))
    result = run_check("INF009", target)
    assert (result.status, result.reason.values["file"].rpartition("/")[0]) == (  # type: ignore[union-attr]
        Status.BLOCKED,
        str(target.repo / "mapanything/datasets"),
    )
    assert result.at == Place(script_of(target), line_of(script_of(target), "np.savez"))
    assert not list((target.repo / "mapanything/datasets").glob("*.npz"))


def test_which_checkpoint_a_script_shall_load_must_be_named(
    scripted: Callable[..., Target], tmp_path: Path
) -> None:
    target = scripted((LOADED, NEVER_THERE))
    settings = tmp_path / "settings.toml"
    settings.write_text(settings.read_text().replace('"{checkpoint}"', '"somewhere.pth"'))
    result = run_check("INF001", make_target(repo=target.repo, settings_file=settings))
    assert (result.status, str(result.hint)) == (Status.BLOCKED, "add '{checkpoint}' to [infer] arguments")
    assert result.findings[0].text.values["parts"]  # the checkpoint itself fills the model


def test_a_script_that_builds_its_model_otherwise_has_an_unknown_config(
    scripted: Callable[..., Target],
) -> None:
    target = scripted(
        (
            "from mapanything.models import init_model",
            "from mapanything.models.mapanything import MapAnything",
        ),
        (
            "init_model(config.model.model_str, config.model.model_config)",
            "MapAnything(**config.model.model_config)",
        ),
    )
    found = examined(target, "INF001", "INF002")
    assert found["INF001"].status is Status.PASSED
    assert (found["INF002"].status, found["INF002"].at) == (
        Status.BLOCKED,
        Place(script_of(target), line_of(script_of(target), "model.infer(")),
    )


def test_images_as_bgr_are_told_from_another_normalisation(scripted: Callable[..., Target]) -> None:
    line = "return {name: view[name] for name in GIVEN}"
    reversed_channels = 'return {"img": view["img"].flip(1), "data_norm_type": view["data_norm_type"]}'
    target = scripted((line, reversed_channels))
    found = examined(target, "INF001", "INF002", "INF003", "INF004", "INF005", "INF007")
    assert failing(found) == {"INF004"}
    finding = wrong(found["INF004"])
    assert finding.text.values["reversed"] is True
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
    assert [(round(line["slope"], 3), round(line["offset"], 3)) for line in finding.text.values["lines"]] == [
        (2.0, 1.0)
    ] * 3


def test_a_view_that_is_left_out_is_told(scripted: Callable[..., Target]) -> None:
    target = scripted(("for view in views], use_amp", "for view in views[:2]], use_amp"))
    assert wrong(run_check("INF004", target)).text.values["views"] == [4, 2]


def test_another_precision_is_a_hazard_and_not_a_difference(scripted: Callable[..., Target]) -> None:
    target = scripted(("use_amp=amp, amp_dtype=amp_dtype", "use_amp=True"))
    found = examined(target, "INF004", "INF006")
    assert found["INF004"].status is Status.WARNED
    assert wrong(found["INF004"]).text.values["precision"] == [None, "torch.bfloat16"]
    assert found["INF006"].status is Status.PASSED


def test_train_mode_is_told_with_the_modules(scripted: Callable[..., Target]) -> None:
    found = examined(scripted(("model.to(device).eval()", "model.to(device)")), "INF003", "INF004", "INF006")
    assert failing(found) == {"INF003"}
    assert "encoder" in wrong(found["INF003"]).text.values["modules"]


def test_weights_that_are_left_out_are_counted_by_sub_module(scripted: Callable[..., Target]) -> None:
    fewer = '{n: w for n, w in weights.items() if "pose" not in n}'
    target = scripted(("model.load_state_dict(weights)", f"model.load_state_dict({fewer}, strict=False)"))
    finding = wrong(run_check("INF001", target))
    parts = {
        name: loaded for name, (loaded, elements) in finding.text.values["parts"].items() if loaded < elements
    }
    assert parts == {"pose_head": 0}
    assert finding.line == line_of(script_of(target), "strict=False")


def test_a_script_that_fails_of_itself_is_told_with_its_line(scripted: Callable[..., Target]) -> None:
    target = scripted(("arrays['mask'].mean()", "arrays['masks'].mean()"))
    finding = wrong(run_check("INF009", target))
    assert "fails in or after its first inference: KeyError: 'masks'" in finding.message
    assert (finding.path, finding.line) == (script_of(target), line_of(script_of(target), "'masks'"))


def test_a_script_that_fails_before_it_infers_is_told(scripted: Callable[..., Target]) -> None:
    target = scripted(('["model"]', '["scaler"]'))
    finding = wrong(run_check("INF009", target))
    assert "fails before its first inference: " in finding.message
    assert finding.path == script_of(target)


@pytest.mark.parametrize("problem", ["FileNotFoundError('x.pth')", "RuntimeError('no NVIDIA GPU')"])
def test_what_is_not_here_is_no_fault_of_the_script(scripted: Callable[..., Target], problem: str) -> None:
    result = run_check("INF009", scripted(text=f"raise {problem}"))
    assert result.status is Status.BLOCKED
    assert "fails before its first inference" in str(result.reason)


@pytest.mark.parametrize("text", ["import sys; sys.exit(3)", "raise ValueError('no')", "pass"])
def test_a_script_that_does_not_infer_is_no_answer(scripted: Callable[..., Target], text: str) -> None:
    result = run_check("INF004", scripted(text=text))
    assert result.status is Status.BLOCKED
    assert "infer" in str(result.reason) or "no" in str(result.reason)
    assert run_check("INF001", scripted(text=text)).status is Status.BLOCKED


def test_a_config_that_a_later_launch_wrote_is_told(healthy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(healthy / RUN, run)
    file = run / ".hydra/config.yaml"
    file.write_text(file.read_text().replace("width: 16", "width: 24"))
    finding = wrong(run_check("INF002", make_target(repo=healthy, run=run)))
    assert finding.path == file
    assert finding.text.values["differences"] == {"model.model_config.width": {"trained": "16", "used": "24"}}


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
    assert set(given.text.values["keys"]) == {"camera_pose_quats", "camera_pose_trans"}
    assert (given.path, given.line) == (repo / SCRIPT, line_of(repo / SCRIPT, "model.infer("))
    findings = found["INF006"].findings
    told = {one.text.values["about"]: one for one in findings if "about" in one.text.values}
    assert {finding.subjects for finding in told.values()} == {("infer", "infer.py")}
    assert told["points"].line == line_of(model, 'prediction["pts3d"] * scale')
    assert told["pose"].line == line_of(model, 'prediction["camera_poses"] = poses')
    assert told["mask"].line == line_of(model, '"non_ambiguous_mask_logits"] < 0')
    points: Any = told["points"].text.values
    assert [factor for _, factor in points["factor"].values] == pytest.approx([points["scale"]] * 2, rel=1e-3)


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
        (
            BASE,
            "        points = along_ray[",
            "        turned = pose[:, [1, 0, 2]]\n        points = along_ray[",
        ),
        (BASE, "pose[:3, :3].T + pose[:3, 3],", "pose[:3, :3].T * 1.5 + pose[:3, 3],"),
    ):
        replace(repo / place, old, new)
    found = examined(make_target(repo=repo), "INF004", "INF005", "INF006", "INF007")
    assert failing(found) == {"INF005", "INF007"}
    assert found["INF005"].status is Status.WARNED
    assert "metric_scaling_factor" in wrong(found["INF005"]).text.values["outputs"]
    assert found["INF006"].status is Status.BLOCKED  # what differs by itself cannot be compared
    assert found["INF007"].status is Status.FAILED


def apart(relative: float) -> Unlike:
    return Unlike(
        key="pts3d",
        kind="values",
        view=0,
        place=None,
        numbers=Figures(
            values=Values(size=1.0, apart=relative, relative=relative, factor=1.0, rest=relative)
        ),
    )


def status(is_wrong: bool) -> Status:
    return Status.FAILED if is_wrong else Status.PASSED


@pytest.mark.parametrize("bound", [wording.CLOSE, wording.CLOSE_IN_HALF])
def test_outputs_may_be_apart_as_far_as_they_are_precise(bound: float) -> None:
    assert_edge(bound, lambda relative: status(bool(OUTPUTS._counting([apart(relative)], bound))))


def test_inputs_are_those_of_training_in_full_precision(scripted: Callable[..., Target]) -> None:
    line = "return {name: view[name] for name in GIVEN}"
    numbers = iter(range(1, 9))  # facts are cached by target

    def at(relative: float) -> Status:
        scaled = f"{{**{{name: view[name] for name in GIVEN}}, 'img': view['img'] * {1 + relative}}}"
        target = scripted((line, f"return {scaled}"))
        return run_check("INF004", dataclasses.replace(target, num_samples=next(numbers))).status

    assert_edge(wording.CLOSE, at)


def fit(apart: float = 0.0, size: float = 1.0, degrees: float = 0.0, metres: float = 0.0) -> Fit:
    return Fit(points=9, apart=apart, size=size, pose=Turn(degrees=degrees, metres=metres))


def test_ground_truth_comes_back_within_bounds() -> None:
    def bent(**words: float) -> Status:
        return status(any(True for _ in OUTPUTS._bent(fit(**words))))

    assert_edge(OUTPUTS.METRES, lambda value: bent(metres=value))
    assert_edge(OUTPUTS.DEGREES, lambda value: bent(degrees=value))
    assert_edge(OUTPUTS.SCALE, lambda value: bent(apart=value))
    assert_edge(OUTPUTS.SCALE * 50, lambda value: bent(apart=value, size=50.0))
