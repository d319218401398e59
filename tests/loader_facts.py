"""What healthy loaders show in two epochs, as facts that a check can be given, but for what is changed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from opv2v_doctor.facts.interpreter.questions import DrawnBatch, DrawnLoader, Share, Shares
from opv2v_doctor.facts.launch.config import Config, config
from opv2v_doctor.facts.samples.batches import eval_batches, shares, train_batches

SET = "+ 40 @ OPV2VCoopCylindricalDataset(split='train', num_views=2)"
BATCHES = tuple(
    DrawnBatch(
        epoch=epoch,
        place=0,
        keys=((epoch,),),
        samples=({"img": "1"},),
        worker=-1,
        overwritten=(),
        arrived=True,
    )
    for epoch in (0, 1)
)
TRAIN = DrawnLoader(
    key="",
    workers=0,
    persistent=False,
    batches=BATCHES,
    changes=(),
    random=(),
    collate=None,
    worker_init=None,
    sampler=None,
    alike=False,
    changed=(),
    stale=False,
    unreached=None,
    settled=True,
    told=None,
    untold="",
    failure=None,
)
SHARE = Share(
    key="val",
    size=100,
    ranks=(50, 50),
    missing=0,
    unsampled=0,
    repeated=0,
    whole_on_each=False,
    epochs_alike=True,
    sampler=None,
)
SHARES = Shares(
    epochs=2,
    drawn=80,
    size=40,
    never=0,
    first_never=None,
    frames=4,
    frames_never=0,
    frames_drawn=80,
    repeated=0,
    sampler=None,
    dataset=None,
    evals=(SHARE,),
    problem="",
)


def loader_facts(
    train: Mapping[str, Any] | None = None,
    val: Mapping[str, Any] | None = None,
    share: Mapping[str, Any] | None = None,
    *,
    evaluated: bool = True,
    **shared: Any,
) -> Mapping[Callable[..., Any], Any]:
    """Facts of a training loader, of an evaluation loader if there is one, and of who is given what."""
    values = {"dataset": {"train_dataset": SET, "test_dataset": SET.replace("train", "val")}}
    return {
        config: Config(values=values, missing=(), unresolved={}, files=()),
        train_batches: replace(TRAIN, **(train or {})),
        eval_batches: (replace(TRAIN, key="val", **(val or {})),) * evaluated,
        shares: replace(SHARES, **{"evals": (replace(SHARE, **(share or {})),) * evaluated, **shared}),
    }
