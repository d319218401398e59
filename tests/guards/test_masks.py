"""The guards of the family masks."""

from .guard import Guard, edited, fault, guarded, healthy

NO_MASKS = (
    ("mapanything/datasets/opv2v_cyl.py", '"non_ambiguous_mask"', '"another_mask"'),
    ("mapanything/datasets/base/base_dataset.py", '"valid_mask"', '"another_valid_mask"'),
)

GUARDS = {
    "MSK001": Guard(
        bad=fault("empty_mask", splits=("val",)),
        good=healthy(),
        empty=edited(*NO_MASKS, splits=("val",)),
    ),
    "MSK002": Guard(
        bad=fault("cropped_before_stitching", splits=("val",)),
        good=healthy(),
        empty=edited(*NO_MASKS, splits=("val",)),
    ),
    "MSK003": Guard(
        bad=fault("valid_outside_mask", splits=("test",)),
        good=healthy(),
        empty=edited(*NO_MASKS, splits=("val",)),
    ),
}

test_masks = guarded(GUARDS)
