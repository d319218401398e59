"""The config family: on the healthy repository with one override changed, or with one file broken."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Finding, Severity
from opv2v_doctor.facts.launch.config import Config, config
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
CODES = [f"CFG{number:03}" for number in range(1, 13)]


def checked(code: str, repo: Path, *overrides: str, gpus: int = 2) -> Result:
    return run_check(code, make_target(repo=repo, overrides=overrides, gpus=gpus))


def worst(result: Result) -> Finding:
    return max(result.findings, key=lambda finding: finding.severity)


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("gpus", [2, 4, 5])
def test_a_healthy_config_passes_on_any_number_of_gpus(code: str, gpus: int, healthy: Path) -> None:
    result = checked(code, healthy, gpus=gpus)
    assert result.status is Status.PASSED, result
    assert all(finding.severity is Severity.NOTE for finding in result.findings)


def test_an_override_that_hydra_refuses_is_quoted(healthy: Path) -> None:
    result = checked("CFG001", healthy, "train_params.epoch=3")
    assert result.status is Status.FAILED
    assert "epoch" in worst(result).message
    assert "train_params.epoch=3" in str(worst(result).hint)


def test_a_config_that_is_no_yaml_is_named_with_its_line(broken: Broken) -> None:
    repo = broken()
    path = repo / "configs/train_params/opv2v_cyl_coop.yaml"
    path.write_text(path.read_text() + "epochs: [3\nlr: 1\n")
    finding = worst(checked("CFG001", repo))
    assert finding.path == path
    assert finding.line == len(path.read_text().splitlines())  # where the parser stood


def test_a_yaml_that_would_run_code_runs_none(broken: Broken, tmp_path: Path) -> None:
    repo = broken()
    path = repo / "configs/machine/demo.yaml"
    path.write_text(path.read_text() + f"evil: !!python/object/apply:os.mkdir ['{tmp_path}/executed']\n")
    assert checked("CFG001", repo).status is Status.FAILED
    assert not (tmp_path / "executed").exists()


def test_a_value_that_is_not_given_blocks_and_is_named_with_its_place(broken: Broken) -> None:
    repo = broken("mandatory_value_missing")
    result = checked("CFG002", repo)
    path = repo / "configs/machine/default.yaml"
    assert result.status is Status.BLOCKED
    assert "machine.opv2v_depth_root" in str(result.reason)
    assert (worst(result).path, worst(result).line) == (path, line_of(path, "opv2v_depth_root"))


def test_a_value_that_nothing_reads_may_stay_open(healthy: Path) -> None:
    assert checked("CFG002", healthy, "+machine.unused=???").status is Status.PASSED


def test_a_config_of_another_form_is_no_training_that_can_be_examined(healthy: Path) -> None:
    removed = [f"~{group}" for group in ("dataset", "loss", "train_params", "model")]
    result = checked("CFG002", healthy, *removed, "+train_dataset='40 @ OPV2V()'")
    assert (result.status, "train_dataset" in str(result.reason)) == (Status.BLOCKED, True)


def test_a_script_that_is_no_python_is_named_with_its_line(broken: Broken) -> None:
    repo = broken()
    script = repo / "scripts/train.py"
    script.write_text(script.read_text() + "def broken(:\n")
    finding = worst(checked("CFG001", repo))
    assert (finding.path, finding.line) == (script, len(script.read_text().splitlines()))


def test_a_group_that_is_missing_is_named_where_it_is_asked_for(broken: Broken) -> None:
    repo = broken("broken_config")
    finding = worst(checked("CFG001", repo))
    assert finding.path is not None
    assert finding.path.parent == repo / "configs/train_params"
    assert finding.line is not None


def test_a_config_in_another_encoding_is_named(broken: Broken) -> None:
    repo = broken()
    path = repo / "configs/machine/demo.yaml"
    path.write_bytes(path.read_bytes() + b"# Gr\xf6\xdfe\n")
    assert worst(checked("CFG001", repo)).path == path


def test_a_world_size_without_settings_is_said(healthy: Path) -> None:
    result = checked("CFG002", healthy, "machine.opv2v_depth_root=???", gpus=3)
    assert str(result.hint).startswith("add [launch.3] to opv2v-doctor.toml (it has 2, 4, 5)")


def test_a_dataset_expression_that_does_not_parse_is_an_error(healthy: Path) -> None:
    result = checked("CFG012", healthy, "dataset.train_dataset='+ 40 @ OPV2V('")
    assert result.status is Status.FAILED
    assert "'+ 40 @ OPV2V('" in worst(result).message


def test_a_criterion_is_given_and_its_names_exist(healthy: Path) -> None:
    empty = checked("CFG003", healthy, "loss.train_criterion=''")
    misspelt = checked("CFG003", healthy, "loss.train_criterion='NonAmbiguousMaskLos(BCELoss())'")
    assert (empty.status, misspelt.status) == (Status.FAILED, Status.FAILED)
    assert "NonAmbiguousMaskLos," in worst(misspelt).message


def test_a_fine_tuning_from_no_weights_is_an_error_where_the_null_stands(broken: Broken) -> None:
    repo = broken("no_pretrained_weights")
    path = repo / "configs/model/mapanything.yaml"
    result = checked("CFG004", repo)
    assert result.status is Status.FAILED
    line = line_of(path, "pretrained_checkpoint_path: null")
    assert (worst(result).path, worst(result).line) == (path, line)


def test_training_from_scratch_may_be_meant(broken: Broken) -> None:
    repo = broken("no_pretrained_weights")
    settings = repo / "opv2v-doctor.toml"
    settings.write_text("fine_tuning = false\n" + settings.read_text())
    assert checked("CFG004", repo).status is Status.SKIPPED


def test_weights_that_do_not_exist_are_named(healthy: Path) -> None:
    result = checked("CFG011", healthy, "model.model_config.pretrained_checkpoint_path=/absent.pth")
    assert result.status is Status.FAILED
    assert "/absent.pth" in worst(result).message


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(f"a/{name}", pickle.dumps({}, 2))
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "said", "status"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\nsize 9\n",
            "a Git LFS pointer",
            Status.FAILED,
        ),
        (b"\n<!DOCTYPE html><html></html>", "an HTML page", Status.FAILED),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "an XML page", Status.FAILED),
        (zipped("data.pkl")[:60], "truncated", Status.FAILED),
        (zipped("data.pkl"), "holds no table of tensors", Status.BLOCKED),
        (zipped("data.pkl", "constants.pkl"), "a TorchScript archive", Status.BLOCKED),
    ],
)
def test_what_lies_in_the_place_of_weights_is_named(
    content: bytes, said: str, status: Status, healthy: Path, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    values = {"model": {"pretrained_checkpoint_path": str(path)}}
    given = {config: Config(values=values, missing=(), unresolved={}, files=())}
    result = run_check("CFG011", make_target(repo=healthy), given)
    told = worst(result).message if result.findings else str(result.reason)
    assert (said in told, result.status) == (True, status), told


def test_weights_from_a_hub_are_not_looked_for(healthy: Path) -> None:
    url = "model.model_config.pretrained_checkpoint_path='https://example.org/weights.pth'"
    assert checked("CFG011", healthy, url).status is Status.SKIPPED


@pytest.mark.parametrize(("images", "status"), [(2, Status.FAILED), (3, Status.FAILED), (4, Status.PASSED)])
def test_an_eval_batch_needs_as_many_images_as_views(images: int, status: Status, healthy: Path) -> None:
    result = checked("CFG005", healthy, f"train_params.max_num_of_imgs_per_gpu={images}")
    assert result.status is status
    formula = healthy / "mapanything/train/training.py"
    if status is Status.FAILED:
        assert (worst(result).path, worst(result).line) == (
            formula,
            line_of(formula, "args.train_params.max_num_of_imgs_per_gpu // "),
        )


def test_a_set_that_is_replaced_is_named_with_the_line_that_does_it(broken: Broken) -> None:
    repo = broken("eval_sets_share_a_key")
    result = checked("CFG006", repo)
    finding = worst(result)
    assert result.status is Status.FAILED
    assert finding.path == repo / "mapanything/train/training.py"
    assert (finding.text.values["asked"], finding.text.values["kept"]) == (["validate", "test"], ["test"])


@pytest.mark.parametrize(
    "lines",
    [
        """
    params, sets = args.train_params, args.dataset.test_dataset
    params = args.train_params
    size = 2 * (params.max_num_of_imgs_per_gpu // args.dataset.num_views)
    data_loader_test = {}
    for text in args.dataset.test_dataset.split("+"):
        if "(" in text:
            data_loader_test[KEY] = get_test_data_loader(dataset=text, batch_size=size)
""",
        """
    test_dataset = args.dataset.test_dataset
    data_loader_test = {
        KEY: get_test_data_loader(text, max(1, 2))
        for number, text in enumerate(test_dataset.split("+")) if "(" in text
    }
""",
    ],
)
@pytest.mark.parametrize(("key", "status"), [("text.split('(')[0]", "failed"), ("text", "passed")])
def test_it_is_replayed_however_it_is_written(lines: str, key: str, status: str, broken: Broken) -> None:
    repo = broken()
    training = repo / "mapanything/train/training.py"
    body = lines.replace("KEY", key)
    training.write_text(f"from mapanything.datasets import get_test_data_loader\n\ndef train(args):{body}")
    sets = [f"+ 4 @ ${{dataset.opv2v.{name}.dataset_str}}" for name in ("val", "test")]
    same_size = f"dataset.test_dataset='{sets[0]} {sets[1]}'"
    assert checked("CFG006", repo, same_size).status == status
    assert checked("CFG005", repo, same_size).status is Status.PASSED


HELPER = """
def build_dataset(dataset, num_workers, test, batch_size=None):
    return get_test_data_loader(dataset, batch_size=batch_size)

def evaluation_loaders(cfg, size):
    sets = [text for text in cfg.dataset.test_dataset.split("+") if "(" in text]
    return {text: build_dataset(text, 0, True, size) for text in sets}

def loaders(args):
    images, views = args.train_params.max_num_of_imgs_per_gpu, args.dataset.num_views
    return evaluation_loaders(args, 2 * (images // views))
"""


@pytest.mark.parametrize(("images", "status"), [(2, "failed"), (4, "passed")])
def test_it_is_replayed_where_a_helper_is_given_the_batch_size(
    images: int, status: str, broken: Broken
) -> None:
    repo = broken()
    training = repo / "mapanything/train/training.py"
    training.write_text(f"from mapanything.datasets import get_test_data_loader\n{HELPER}")
    override = f"train_params.max_num_of_imgs_per_gpu={images}"
    found = checked("CFG005", repo, override)
    assert (found.status, found.reason) == (status, None)
    if status == "failed":
        assert (worst(found).path, worst(found).line) == (training, line_of(training, "images // views"))
    assert checked("CFG006", repo, override).status is Status.PASSED


def test_a_byte_order_mark_in_the_source_is_no_matter(broken: Broken) -> None:
    repo = broken()
    for name in ("datasets/__init__.py", "train/training.py"):
        path = repo / "mapanything" / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    for code in ("CFG003", "CFG005", "DAT001"):
        assert checked(code, repo).status is Status.PASSED


def test_a_module_that_cannot_be_parsed_is_named(broken: Broken) -> None:
    repo = broken()
    path = repo / "mapanything/datasets/__init__.py"
    path.write_text(path.read_text() + "\ndef broken(:\n")
    found = checked("DAT001", repo)
    assert found.status is Status.FAILED
    assert (worst(found).path, worst(found).line) == (path, len(path.read_text().splitlines()))


@pytest.mark.parametrize("key", ["epochs", "eval_freq"])
def test_a_word_where_a_number_belongs_is_named(key: str, healthy: Path) -> None:
    found = checked("CFG008", healthy, f"train_params.{key}=many")
    assert found.status is Status.BLOCKED
    assert str(found.reason) == f"train_params.{key} is 'many', expected a number"


def test_one_set_alone_cannot_be_replaced(broken: Broken) -> None:
    alone = "dataset.test_dataset='+ 4 @ ${dataset.opv2v.val.dataset_str}'"
    assert checked("CFG006", broken("eval_sets_share_a_key"), alone).status is Status.PASSED


def test_a_path_with_a_plus_breaks_the_repositorys_parsing(healthy: Path, tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    result = checked("CFG006", healthy, f"machine.opv2v_images_root={tmp_path}/a+b")
    assert result.status in (Status.FAILED, Status.BLOCKED)


def test_an_eval_set_that_is_trained_on_is_an_error(healthy: Path) -> None:
    result = checked("CFG007", healthy, "dataset.opv2v.split_names.val=train")
    path = healthy / "configs/dataset/opv2v_cyl_coop_ft.yaml"
    assert result.status is Status.FAILED
    assert (worst(result).path, worst(result).line) == (path, line_of(path, "test_dataset"))
    assert "dataset.opv2v.split_names.val=validate" in str(worst(result).hint)


def test_a_hint_names_no_override_that_is_so_already(healthy: Path) -> None:
    trained = "dataset.test_dataset='+ 4 @ ${dataset.opv2v.train.dataset_str}'"
    hint = worst(checked("CFG007", healthy, trained)).hint
    assert str(hint) == "give dataset.test_dataset a split of its own"


def test_the_train_split_of_another_data_set_may_be_evaluated(healthy: Path, tmp_path: Path) -> None:
    other = f"dataset.test_dataset=\"4 @ OPV2VCoopCylindricalDataset(split='train', ROOT='{tmp_path}')\""
    assert checked("CFG007", healthy, other).status is Status.PASSED


def test_a_training_on_the_eval_split_is_to_be_changed_in_the_training(healthy: Path) -> None:
    finding = worst(checked("CFG007", healthy, "dataset.opv2v.split_names.train=validate"))
    assert "dataset.opv2v.split_names.train=train" in str(finding.hint)
    path = healthy / "configs/dataset/opv2v_cyl_coop_ft_2gpu.yaml"
    assert (finding.path, finding.line) == (path, line_of(path, "train_dataset"))


@pytest.mark.parametrize("override", ["dataset.test_dataset='[null]'", "train_params.eval_freq=0"])
def test_a_training_that_is_never_evaluated_is_a_warning(override: str, healthy: Path) -> None:
    assert checked("CFG008", healthy, override).status is Status.WARNED


def test_a_resume_that_cannot_find_its_checkpoint_is_a_warning(broken: Broken) -> None:
    repo = broken("timestamped_run_directory")
    result = checked("CFG009", repo)
    assert result.status is Status.WARNED
    assert worst(result).path == repo / "configs/train.yaml"
    assert checked("CFG009", repo, "train_params.resume=false").status is Status.SKIPPED


def test_a_first_run_has_nothing_to_resume(healthy: Path, tmp_path: Path) -> None:
    folder = f"hydra.run.dir='{tmp_path}/${{now:%H%M%S}}'"
    assert checked("CFG009", healthy, folder).status is Status.SKIPPED


def test_ranks_that_start_in_different_seconds_write_into_different_directories(healthy: Path) -> None:
    folder = "hydra.run.dir='out/${now:%Y-%m-%d}/${now:%H-%M-%S}'"
    assert checked("CFG010", healthy, folder).status is Status.WARNED
    assert checked("CFG010", healthy, folder, gpus=1).status is Status.SKIPPED
    assert checked("CFG010", healthy, "hydra.run.dir=out/fixed").status is Status.PASSED


def test_the_working_directory_does_not_matter(healthy: Path, tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert checked("CFG001", healthy).status is Status.PASSED
    finally:
        os.chdir(before)


DENSE = "Points(Robust(alpha=0.5), norm='avg', in_log=True, rays_weight=3.0)"


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (f"Excluding({DENSE}, top=5) + 0.3 * Masks(BCE())", ()),  # another wrapper
        (f"Excluding({DENSE.replace(', in_log=True', '')}) + 0.3 * Masks(BCE())", ()),  # its default
        (f"Excluding({DENSE.replace('3.0', '60')}) + 0.3 * Masks(BCE())", ("rays_weight 60", "3.0")),
        (f"Excluding({DENSE.replace('0.5', '1.5')}) + 0.3 * Masks(BCE())", ("Robust", "alpha 1.5")),
        (f"Excluding({DENSE}) + 3 * Masks(BCE())", ("Masks", "the factor 3")),
        (f"Excluding({DENSE})", ("Masks is a term of what is trained",)),
    ],
)
def test_what_is_measured_is_what_is_trained(measured: str, words: tuple[str, ...], healthy: Path) -> None:
    trained = f"Confident({DENSE}, alpha=0.2) + 0.3 * Masks(BCE())"
    losses = {"train_criterion": trained, "test_criterion": measured}
    given = {config: Config(values={"loss": losses}, missing=(), unresolved={}, files=())}
    result = run_check("CFG015", make_target(repo=healthy), given)
    assert result.status is (Status.WARNED if words else Status.PASSED)
    assert all(word in result.findings[0].message for word in words)
