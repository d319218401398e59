"""The notebook of a run: what it says, and that nobody's words are lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from opv2v_doctor.atomic import NotWritten
from opv2v_doctor.runs.directory import claim
from opv2v_doctor.runs.notebook import END, NAME, keep, merged
from opv2v_doctor.runs.record import Run, RunStatus, Stamp, Verdict, now
from opv2v_doctor.runs.stamp import write_stamp
from opv2v_doctor.settings import Settings

EVENTS = [
    {"rank": 0, "event": "loader", "name": "train 0", "length": 10},
    {"rank": 0, "event": "epoch", "epoch": 0, "steps": 10, "lr": {"a": 0.0, "b": 0.0}},
    {"rank": 1, "event": "epoch", "epoch": 0, "steps": 99, "lr": {"a": 7.0}},
    {"rank": 0, "event": "masks", "epoch": 0, "split": "train", "pred_mask_mean": 0.55, "gt_mask_mean": 0.85},
    {"rank": 0, "event": "averages", "epoch": 0, "split": "train", "values": {"loss": 130.5}},
    {"rank": 0, "event": "averages", "epoch": 1, "split": "test_val|x", "values": {"loss_med": 99.25}},
    {"rank": 0, "event": "epoch", "epoch": 1, "steps": 10, "lr": {"a": 0.01, "b": 0.01}},
]
SAVED = {"file": "checkpoint-best.pth", "epoch": 0, "global_step": 10, "size": 3_000_000}
SUMMARY = {
    "checkpoint": "checkpoint-best.pth", "split": "val", "index": 2,
    "inputs": {"poses": "none", "depth": "none"},
    "total": {"pose_rmse": 22.4, "depth_rmse": 11.8, "pred_mask_mean": 0.84, "gt_mask_mean": 0.85},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that has ended, with what its watch and a rendering left."""
    stamp = Stamp(
        commit="a" * 40,
        branch="main",
        command="train.py `rm -rf` <b>",
        world_size=2,
        steps_per_epoch=10,
        gate=Verdict(exit_code=0),
    )
    with claim([tmp_path / "runs 训练" / "one"], resume=False) as place:
        made = write_stamp(place, stamp, {})
    (made.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in EVENTS))
    (made.path / "checkpoints.jsonl").write_text(json.dumps(SAVED) + "\n")
    rendered = made.path / "eval_runs" / "best"
    rendered.mkdir(parents=True)
    (rendered / "summary.json").write_text(json.dumps(SUMMARY))
    (rendered / "val_2_pointcloud.html").touch()
    return made.with_last(status=RunStatus.FINISHED, exit_code=0, ended=now())


def written(run: Run, **settings: object) -> str:
    keep(run, Settings.model_validate(settings))
    return (run.path / NAME).read_text()


def test_it_tells_what_ran_and_what_came_of_it(run: Run) -> None:
    text = written(run)
    assert "`len(loader_train)` is 10." in text
    assert "| 0 | 10 | 0 | 130.5 |  | 0.55 / 0.85 |" in text
    assert re.search(r"\| 1 \| 10 \| 0\.01 \|  \| 99\.25 \|", text)
    assert "| checkpoint-best.pth | 0 | 10 | 3.0 |" in text
    assert "[val\\_2\\_pointcloud.html](<eval_runs/best/val_2_pointcloud.html>)" in text
    assert "22.4 | 11.8 | 0.84 / 0.85" in text


def test_foreign_words_are_no_markup(run: Run) -> None:
    text = written(run)
    assert "\\`rm -rf\\` &lt;b&gt;" in text and "val\\|x" in text


def test_the_checklist_is_ticked_from_evidence(run: Run) -> None:
    text = written(run)
    assert "- [x] The code is that of a commit" in text
    assert "- [x] Every epoch has the steps that the config implies: 10, expected 10" in text
    assert "- [ ] The content of the dataset is known" in text
    stamp = run.stamp.model_copy(update={"dirty": ("a.py",), "steps_per_epoch": 8})
    changed = run.with_last(stamp=stamp, status=RunStatus.INTERRUPTED, departures=("b.py",))
    text = written(changed)
    for claim_ in ("The code is that of a commit", "What ran is what was stamped", "The training came"):
        assert f"- [ ] {claim_}" in text
    assert "10, expected 8" in text and "differs: b.py" in text


def test_it_is_written_in_chinese_where_that_is_asked_for(run: Run) -> None:
    assert "## 运行内容" in written(run, runs={"language": "zh"})


def test_what_people_write_around_it_stays(run: Run) -> None:
    first = written(run)
    path = run.path / NAME
    path.write_text(f"# Mine\n\nThe loss looked odd.\n\n{first}\nAsk Ada about epoch 1.\n")
    (run.path / "checkpoints.jsonl").write_text(json.dumps({**SAVED, "epoch": 5}) + "\n")
    text = written(run)
    assert text.startswith("# Mine\n\nThe loss looked odd.\n")
    assert text.endswith("\nAsk Ada about epoch 1.\n")
    assert "| checkpoint-best.pth | 5 |" in text and "| checkpoint-best.pth | 0 |" not in text
    assert text.count(END) == 1


def test_what_people_changed_in_it_stays_and_ours_is_written_below(run: Run) -> None:
    path = run.path / NAME
    path.write_text(written(run).replace("130.5", "130.5 (wrong)"))
    for _ in range(2):
        text = written(run)
        assert text.count(END) == 2 and text.count("130.5 (wrong)") == 1


def test_a_notebook_that_only_people_wrote_is_gone_on_with() -> None:
    assert merged("mine", "ours\n").startswith("mine\n\n<!-- ")
    assert merged("", "ours\n").startswith("<!-- ")


@pytest.mark.parametrize("content", [b"\xff\xfe not UTF-8", b"x" * (5 << 20)])
def test_a_notebook_that_cannot_be_read_is_left_as_it_is(run: Run, content: bytes) -> None:
    path = run.path / NAME
    path.write_bytes(content)
    with pytest.raises(NotWritten, match=r"record\.md is left as it is"):
        keep(run, Settings())
    assert path.read_bytes() == content


def test_log_txt_tells_where_no_watch_was(run: Run) -> None:
    (run.path / "events.jsonl").unlink()
    lines = [
        {"epoch": 0},
        {
            "epoch": 1,
            "train_loss": 9.5,
            "train_a_bot95%_loss_avg": 1.0,
            "v_loss_avg": 7.5,
            "v_loss_med": 7.25,
        },
    ]
    (run.path / "log.txt").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = written(run)
    assert "| 0 |  |  | 9.5 |  |" in text and "| 1 |  |  |  | 7.5 |" in text
    assert "bot95" not in text
