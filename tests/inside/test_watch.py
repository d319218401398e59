"""The watch sees what a training does, says what is wrong with it, and changes nothing."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from opv2v_doctor.inside.watch.checkpoints import identity
from opv2v_doctor.inside.watch.guard import Guard
from opv2v_doctor.inside.watch.lines import Lines
from opv2v_doctor.inside.watch.loads import Loads
from opv2v_doctor.inside.watch.progress import Counters
from opv2v_doctor.inside.watch.start import difference_in_words
from opv2v_doctor.inside.watch.warnings import Warnings

pytestmark = pytest.mark.slow
Start = Callable[..., Any]


def test_a_watched_training_ends_in_the_same_bits(watch: Start) -> None:
    watched = watch(every=1)
    model = watched.train()
    plain = watched.loop
    bare = {name: inspect.unwrap(value) for name, value in vars(plain).items() if inspect.isfunction(value)}
    vars(plain).update(bare)
    other = watched.train()
    assert not watched.failures()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_watched_function_keeps_name_and_signature(watch: Start) -> None:
    function = watch().loop.train_one_epoch
    assert function.__name__ == "train_one_epoch"
    assert next(iter(inspect.signature(function).parameters)) == "model"


def test_names_imported_from_a_module_and_renamed_are_watched_too(watch: Start) -> None:
    loop = watch().loop
    for name in ("loss_of", "test_loader", "get_train_data_loader"):
        assert hasattr(getattr(loop, name), "__wrapped__")


def test_a_healthy_training_is_told_without_a_warning(watch: Start) -> None:
    watched = watch(every=1, commit="abc", config_hash="def")
    watched.train(epochs=3)
    assert not watched.failures()
    assert not watched.warnings()
    (start,) = watched.events("start")
    assert start["loaders"] == {"train 0": 4, "test 0": 2}
    assert (start["commit"], start["config_hash"], start["world_size"]) == ("abc", "def", 1)
    assert start["modules"]["mapanything.train.training"].endswith("mapanything/train/training.py")
    epochs = watched.events("epoch")
    assert [(e["epoch"], e["global_step"], e["steps"]) for e in epochs] == [(0, 0, 4), (1, 4, 4), (2, 8, 4)]
    assert epochs[1]["lr"] == {"group[0]": pytest.approx(0.1), "group[1]": pytest.approx(0.1)}
    assert [e["updates"] for e in watched.events("epoch end")] == [4, 8, 12]


def test_weights_of_which_no_name_fits_are_told_where_they_are_loaded(tmp_path: Path) -> None:
    class Owner(torch.nn.Module):
        """Whose loads are heard, and no other module's."""

    class Net(Owner):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(2, 1)

    lines, net = Lines(str(tmp_path / "events.jsonl")), Net()
    guard = Guard(lines)
    Loads(lines, Warnings(lines, Counters(), guard), guard).attend(SimpleNamespace(Module=Owner))
    for prefix, fitting in (("", 2), ("module.", 0)):
        given = {prefix + name: value for name, value in net.state_dict().items()}
        net.load_state_dict(given, strict=False)
        told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
        (load,) = [event for event in told if event["event"] == "loaded"][-1:]
        assert (load["given"], load["fitting"], load["at"].partition(":")[0]) == (2, fitting, __file__)
        warned = [event["what"] for event in told if event["event"] == "warning"]
        assert warned == ([] if fitting else ["weights do not fit"])
        assert not [event for event in told if event["event"] == "watch failed"]


def test_checkpoints_get_counters_and_a_line(watch: Start) -> None:
    watched = watch()
    watched.train()
    saved = torch.load(watched.run / "checkpoint-last.pth", weights_only=False)
    assert (saved["epoch"], saved["global_step"], saved["world_size"]) == (1, 8, 1)
    lines = [json.loads(line) for line in (watched.run / "checkpoints.jsonl").read_text().splitlines()]
    assert [(line["file"], line["epoch"], line["global_step"]) for line in lines] == [
        ("checkpoint-last.pth", 0, 4),
        ("checkpoint-last.pth", 1, 8),
    ]
    assert lines[1]["size"] == (watched.run / "checkpoint-last.pth").stat().st_size
    assert len(lines[1]["sha256"]) == 64


def test_a_resume_goes_on_counting(watch: Start) -> None:
    first = watch()
    first.train(epochs=1)
    second = watch()
    second.train(epochs=2, resume_ckpt=str(first.run / "checkpoint-last.pth"))
    assert [e["global_step"] for e in second.events("epoch")] == [0, 4]
    (resume,) = second.events("resume")
    assert (resume["epoch"], resume["start_epoch"], resume["global_step"]) == (0, 1, 4)
    assert not second.warnings()


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"shift": -1}, "epoch repeated"),
        ({"shift": 1, "epochs": 4}, "epoch skipped"),
        ({"restore": False}, "optimizer not restored"),
    ],
)
def test_a_wrong_resume_is_told(watch: Start, changed: dict[str, Any], what: str) -> None:
    first = watch()
    first.train(epochs=1)
    second = watch()
    second.train(**{"epochs": 2, "resume_ckpt": str(first.run / "checkpoint-last.pth"), **changed})
    assert second.warnings() == {what}


def test_another_file_in_the_place_of_a_checkpoint_is_told(watch: Start) -> None:
    first = watch()
    first.train(epochs=1)
    path = first.run / "checkpoint-last.pth"
    saved = torch.load(path, weights_only=False)
    inspect.unwrap(torch.save)({**saved, "more": 1}, path)
    second = watch()
    second.train(resume_ckpt=str(path))
    assert second.warnings() == {"checkpoint replaced"}


def test_two_large_checkpoints_are_told_apart(watch: Start) -> None:
    watched = watch()
    watched.train(epochs=1)
    lists, found = list(range(100_000)), []
    for value in (1.0, 2.0):
        inspect.unwrap(torch.save)(
            {"long": lists, "weight": torch.full((100_000,), value)}, watched.run / "x"
        )
        found.append(identity(watched.run / "x"))
    assert found[0]["sha256"] == found[1]["sha256"]
    assert found[0]["tail"] != found[1]["tail"]


def test_another_number_of_steps_stops_the_training(watch: Start, capfd: pytest.CaptureFixture[str]) -> None:
    watched = watch(expected_steps=5)
    with pytest.raises(SystemExit) as stopped:
        watched.train()
    assert stopped.value.code == 88
    assert watched.events("stopped")[0]["reason"] == "4 steps an epoch, expected 5"
    assert "4 steps an epoch, expected 5" in capfd.readouterr().err
    assert not watched.events("epoch")


def test_masks_are_averaged_over_the_epoch(watch: Start) -> None:
    watched = watch()
    watched.train(
        epochs=1, change=lambda model: [torch.nn.init.zeros_(p) for p in model.parameters()], lr=0.0
    )
    train, test = watched.events("masks")
    assert (train["split"], test["split"]) == ("train", "test_val")
    assert (train["batches"], test["batches"]) == (4, 2)
    for masks in (train, test):
        assert masks["pred_mask_mean"] == 0.5
        assert masks["gt_mask_mean"] == masks["valid_mask_ratio_target"] == 0.5
        assert masks["valid_mask_ratio_prediction"] == 0.0


def test_what_an_evaluation_returns_is_told(watch: Start) -> None:
    watched = watch()
    watched.train(epochs=1)
    (told,) = watched.events("averages")
    assert (told["split"], told["epoch"]) == ("test_val", 1)
    assert told["values"] == {"loss_avg": 0.5, "loss_med": 1.0}


def test_masks_are_tensorboard_scalars(watch: Start) -> None:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader  # type: ignore[import-untyped]

    watched = watch()
    watched.train(epochs=1)
    (file,) = watched.run.glob("events.out.tfevents.*.watch")
    tags = {value.tag for event in LegacyEventFileLoader(str(file)).Load() for value in event.summary.value}
    assert {"watch/train/pred_mask_mean", "watch/test_val/valid_mask_ratio_prediction"} <= tags


def frozen(model: Any) -> None:
    model[1].requires_grad_(False)


@pytest.mark.parametrize(
    ("changed", "what", "group"),
    [
        ({"clear": False}, "gradients not cleared", "group[0]"),
        ({"factor": float("nan")}, "gradients not finite", "group[0]"),
        ({"factor": 0.0}, "gradients are zero", "group[0]"),
        ({"change": frozen}, "parameters never change", "group[1]"),
        ({"change": frozen}, "gradients are zero", "group[1]"),
        ({"set_epoch": False}, "samples repeat", None),
        ({"scaler": torch.GradScaler("cpu", init_scale=0.5)}, "loss scale collapsed", None),
    ],
)
def test_what_goes_wrong_in_the_steps_is_named(
    watch: Start, changed: dict[str, Any], what: str, group: str | None
) -> None:
    watched = watch(every=2)
    watched.train(**changed)
    assert not watched.failures()
    found = [event for event in watched.events("warning") if event["what"] == what]
    assert found
    assert group in {event.get("group") for event in found}
    assert {"epoch", "step", "global_step"} <= set(found[0])


def test_a_parameter_outside_of_the_optimizer_is_named(watch: Start) -> None:
    watched = watch()
    watched.train(change=lambda model: model.register_parameter("extra", torch.nn.Parameter(torch.ones(1))))
    (warned,) = watched.events("warning")
    assert warned["what"] == "parameters left out"
    assert "extra" in warned["message"]


def test_the_schedule_on_fixed_steps_is_the_same_on_four_and_on_five_gpus(watch: Start) -> None:
    four, five = 10, 8  # steps an epoch: the loader's length follows the number of GPUs
    curves = {}
    for steps in (four, five):
        watched = watch(run=f"run{steps}", steps_per_epoch=10)
        watched.train(steps=steps, epochs=4)
        curves[steps] = watched.rates
    shorter = len(curves[five])
    assert shorter == 32
    assert curves[five] == curves[four][:shorter]
    assert max(curves[four]) == pytest.approx(0.1)
    assert watched.warnings() == {"schedule and steps differ"}


def test_without_fixed_steps_the_schedule_follows_the_loader(watch: Start) -> None:
    curves = []
    for steps in (10, 8):
        watched = watch(run=f"run{steps}")
        watched.train(steps=steps, epochs=4)
        curves.append(watched.rates)
    assert curves[1] != curves[0][: len(curves[1])]


def test_a_schedule_that_is_over_does_not_begin_anew(watch: Start) -> None:
    watched = watch(steps_per_epoch=4)
    watched.train(steps=8, epochs=3)
    assert watched.rates[12:] == pytest.approx([0.0] * 12, abs=1e-12)


def test_a_hook_that_raises_is_told_once_and_the_training_goes_on(
    watch: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the watch is broken")

    watched = watch()
    steps = watched.points.session.steps
    monkeypatch.setattr(steps.order, "see", broken)
    watched.points.session.evaluation.masks.see = broken
    watched.train()
    assert [event["error"] for event in watched.failures()] == ["RuntimeError: the watch is broken"] * 1
    assert len(watched.events("epoch")) == 2


def test_a_point_that_the_repository_lacks_is_not_watched(watch: Start, miniature: Any) -> None:
    import sys

    sys.modules.pop("mapanything.utils.train_tools", None)
    tools = miniature / "mapanything/utils/train_tools.py"
    text = tools.read_text()
    tools.write_text(text.replace("save_on_master", "write"))
    try:
        watched = watch()
        watched.train(epochs=1)
    finally:
        tools.write_text(text)
    points = [event["point"] for event in watched.events("not watched")]
    assert points == ["mapanything.utils.train_tools.save_on_master"]
    saved = torch.load(watched.run / "checkpoint-last.pth", weights_only=False)
    assert saved["global_step"] == 4  # through torch.save


def test_the_difference_between_ranks_is_named() -> None:
    configs = [{"lr": "0.1", "epochs": "3"}, {"lr": "0.1", "epochs": "3"}, {"lr": "0.2", "epochs": "3"}]
    assert difference_in_words("config", 2, configs).endswith("config lr is 0.1 in rank 0, 0.2 in rank 2")
    worlds = [{"world_size": 2}, {"world_size": 1}]
    assert difference_in_words("world_size", 1, worlds).endswith("world_size is 2 in rank 0, 1 in rank 1")


def test_lines_hold_what_json_does_not_know(tmp_path: Any) -> None:
    lines = Lines(str(tmp_path / "new" / "lines"))
    lines.event("odd", loss=float("nan"), path=tmp_path, more={"最": float("inf")})
    with (tmp_path / "new" / "lines").open("a") as file:
        file.write('{"half')
    (line,) = lines.earlier()
    assert (line["loss"], line["path"], line["more"]) == ("nan", str(tmp_path), {"最": "inf"})


def test_a_beat_tells_place_and_silence(watch: Start) -> None:
    watched = watch()
    watched.train()
    pulse = watched.points.session.progress.pulse()
    assert (pulse["phase"], pulse["global_step"], pulse["lr"]) == ("end", 8, watched.rates[-1])
    assert 0 <= pulse["quiet"] < 60


def test_what_the_training_raises_is_told_with_its_place(watch: Start) -> None:
    watched = watch()

    def fails(model: Any) -> None:
        raise ValueError("no such weights")

    with pytest.raises(ValueError, match="no such weights"):
        watched.train(change=fails)
    (raised,) = watched.events("raised")
    assert raised["error"] == "ValueError: no such weights"
    assert "test_watch.py" in raised["frames"][-1]


def test_a_trace_tells_every_step(watch: Start) -> None:
    watched = watch(trace=True, limit=3, stop_before_epoch=2)
    with pytest.raises(SystemExit) as ended:
        watched.train(epochs=5)
    assert ended.value.code == 0
    steps = watched.events("step")
    assert [(s["epoch"], s["step"], s["global_step"]) for s in steps] == [
        (0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4), (1, 2, 5),
    ]  # fmt: skip
    assert steps[0]["samples"] == ["0/0/0 0/0/0", "0/0/1 0/0/1"]
    assert steps[1]["before"] == steps[0]["weights"]
    assert set(steps[0]["gradients"]) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert steps[5]["optimizer_steps"] == 5
