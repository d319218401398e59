"""The guards of the family masks."""

from .guard import Guard, edited, fault, guarded, healthy

NO_MASKS = (
    ("mapanything/datasets/opv2v_cyl.py", '"non_ambiguous_mask"', '"another_mask"'),
    ("mapanything/datasets/base/base_dataset.py", '"valid_mask"', '"another_valid_mask"'),
)
NO_DEPTH = (
    "mapanything/datasets/opv2v_cyl.py",
    'np.load(f"{self.depth_root / place}_depth.npy").astype(np.float64)',
    "image[..., 0] * 0.0",
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
    "MSK004": Guard(
        bad=fault("depth_zero_is_valid", "mask_moved", splits=("val",)),
        good=healthy(),
        empty=edited(*NO_MASKS, splits=("val",)),
    ),
    "MSK005": Guard(
        bad=fault("depth_zero_is_valid", "mask_moved", splits=("val",)),
        good=healthy(),
        empty=edited(*NO_MASKS, splits=("val",)),
    ),
    "MSK006": Guard(
        bad=fault("sky_filled", splits=("val",)),
        good=healthy(),
        empty=edited(NO_DEPTH, splits=("val",)),
    ),
}

test_masks = guarded(GUARDS)
