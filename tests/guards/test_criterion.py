"""The guards of the family criterion."""

from dataclasses import replace

from opv2v_doctor.result import Result

from ..checks.test_criterion import FAULTY, said
from ..criteria import TEST, TRAIN, Edit, judged
from .guard import Case, Guard, Workshop, fault, guarded


def criterion(*edits: Edit, expression: str = TRAIN, lacking: tuple[str, ...] = ()) -> Case:
    """What a check says of the embedded criterion with edits, or of views that lack a label."""

    def case(shop: Workshop, code: str) -> Result:
        found = judged(shop.folder, *edits, expression=expression)
        return said(code, replace(found, lacking=lacking), shop.folder)

    return case


def unlabelled() -> Case:
    return criterion(lacking=("pts3d",))


GUARDS = {
    "CRT001": Guard(bad=fault("points_turned_back"), good=criterion(), empty=unlabelled()),
    "CRT002": Guard(bad=criterion(*FAULTY["sigmoid twice"][2]), good=criterion(), empty=unlabelled()),
    "CRT003": Guard(bad=criterion(*FAULTY["labels alone"][2]), good=criterion(), empty=unlabelled()),
    "CRT004": Guard(bad=criterion(*FAULTY["all pixels"][2]), good=criterion(), empty=unlabelled()),
    "CRT005": Guard(bad=criterion(*FAULTY["detached"][2]), good=criterion(), empty=unlabelled()),
    "CRT006": Guard(bad=criterion(*FAULTY["factor lost"][2]), good=criterion(), empty=unlabelled()),
    "CRT007": Guard(
        bad=criterion(*FAULTY["costless"][2]), good=criterion(), empty=criterion(expression=TEST)
    ),
    "CRT008": Guard(bad=criterion(*FAULTY["one view less"][2]), good=criterion(), empty=unlabelled()),
}

test_criterion = guarded(GUARDS)
