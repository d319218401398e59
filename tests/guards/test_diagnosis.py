"""The guards of the diagnosis: facts of a healthy one, and what is changed in them."""

from __future__ import annotations

from typing import Any

from opv2v_doctor.check import error, examined
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status

from ..diagnosis.given import (
    account,
    both,
    checkpoints,
    drawn,
    judged,
    moved,
    opened,
    overfitted,
    part,
    paths,
)
from .guard import Case, Guard, guarded


def facts(**changed: Any) -> Case:
    return lambda shop, code: judged(code, shop.folder, **changed)


def found_of(split: str) -> tuple[Result, ...]:
    """A check of the data that found an error of one split."""
    check = next(check for check in installed_checks() if check.code == "DAT006")
    finding = error("a pose is off", hint="mend it", of=split)
    return (Result(check=check, status=Status.FAILED, findings=(finding,), examined=(examined(1, "view"),)),)


GUARDS = {
    "DGN001": Guard(
        bad=facts(opened=opened(account=account(40))),
        good=facts(),
        empty=facts(opened=opened(account=account(0).__class__(parts={}, unexpected=(), reshaped=()))),
    ),
    "DGN002": Guard(
        bad=facts(
            opened=opened(
                read=(opened().read[0].__class__(file=opened().read[0].file, elements=100, named=0, held=0),)
            )
        ),
        good=facts(),
        empty=facts(opened=opened(read=())),
    ),
    "DGN003": Guard(
        bad=facts(opened=opened(test_criterion=(part("Loss", weight=3.0),)), both_sets=both(by_train=5.0)),
        good=facts(),
        empty=facts(opened=opened(chosen=None)),
    ),
    "DGN004": Guard(
        bad=facts(drawn=drawn(test={"norm_type": "identity"})),
        good=facts(),
        empty=facts(drawn=drawn().__class__(train=(), test=(), distinct=0, jitter=None)),
    ),
    "DGN005": Guard(
        bad=facts(data_results=found_of("val")), good=facts(data_results=found_of("train")), empty=facts()
    ),
    "DGN006": Guard(
        bad=facts(paths=paths(test={"precision": "torch.bfloat16"})),
        good=facts(),
        empty=facts(opened=opened(chosen=None)),
    ),
    "DGN007": Guard(
        bad=facts(both_sets=both(test=20.0)),
        good=facts(),
        empty=facts(both_sets=both().__class__(train=(), test=(), asked=16, problem="")),
    ),
    "DGN008": Guard(
        bad=facts(epoch_losses=(20.0, 10.0)),
        good=facts(),
        empty=facts(both_sets=both().__class__(train=(), test=(), asked=16, problem="")),
    ),
    "DGN009": Guard(
        bad=facts(opened=opened(moved={"encoder": moved(), "head": moved(0.0, still=("head.weight",))})),
        good=facts(),
        empty=facts(opened=opened(moved={})),
    ),
    "DGN010": Guard(
        bad=facts(overfitted=overfitted(losses=(100.0,) * 30)),
        good=facts(),
        empty=facts(overfitted=overfitted(steps=0, losses=(), rates=())),
    ),
    "DGN011": Guard(
        bad=facts(every_checkpoint=checkpoints(10.0, 20.0)),
        good=facts(),
        empty=facts(every_checkpoint=checkpoints(None, None)),
    ),
    "DGN012": Guard(
        bad=facts(drawn=drawn(jitter=0.5)),
        good=facts(),
        empty=lambda shop, code: unmeasured(shop.folder),
    ),
}


def unmeasured(folder: Any) -> Result:
    """A diagnosis of which nothing has an answer: no checkpoint was chosen."""
    from pathlib import Path

    from opv2v_doctor.diagnosis import CHECKS
    from opv2v_doctor.runner import run
    from opv2v_doctor.state import State
    from opv2v_doctor.target import Target

    (result,) = run([CHECKS[-1]], Target(repo=folder, python=Path("/python"), state=State()))
    return result


test_diagnosis = guarded(GUARDS)
