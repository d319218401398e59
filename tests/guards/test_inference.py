"""The guards of the family inference."""

import shutil

from opv2v_doctor.result import Result
from opv2v_doctor.target import make_target

from ..checks.test_inference_summary import summary_of
from .guard import Case, Guard, Workshop, edited, fault, guarded, healthy, run_check

MODEL, BASE = "mapanything/models/mapanything.py", "mapanything/datasets/base/base_dataset.py"
SCRIPT, SETTINGS, RUN = "scripts/infer.py", "opv2v-doctor.toml", "experiments/opv2v_cyl_coop"
NO_INFER = (MODEL, "    def infer(", "    def another(")
RANDOM = (
    MODEL,
    "scale = self.scale_head(shared).exp()",
    "scale = self.scale_head(shared).exp() + torch.rand(1)",
)
NO_OUTPUTS = (
    MODEL,
    "self._predict(feature + view[..., None, None], view, scale, shape, given if take_poses else None)",
    "{}",
)
BENT = (BASE, "pose[:3, :3].T + pose[:3, 3],", "pose[:3, :3].T * 1.5 + pose[:3, 3],")
NO_POINTS = (BASE, '"pts3d": points', '"other_points": points')
NEVER_INFERS = edited((SCRIPT, "    main(parser.parse_args())", "    parser.parse_args()"))

WRITES_OTHERS = edited(
    (
        SCRIPT,
        """np.savez(folder / f"agent_{view['agent_id'][0]}.npz", **arrays)""",
        '(folder / "notes.md").write_text(str(arrays))',
    )
)


def without_script(*edits: tuple[str, str, str], stamped: bool = True) -> Case:
    """A copy with edits whose settings name no inference script, and whose run may have left no config."""

    def case(shop: Workshop, code: str) -> Result:
        repo = shop.edited(*edits)
        settings = repo / SETTINGS
        settings.write_text(settings.read_text().partition("[infer]")[0])
        if not stamped:
            shutil.rmtree(repo / RUN / ".hydra")
        return run_check(code, make_target(repo=repo))

    return case


def summary(**total: float | None) -> Case:
    """A run with a summary of predictions."""

    def case(shop: Workshop, code: str) -> Result:
        summary_of(shop.folder, **total)
        return run_check(code, make_target(repo=shop.healthy, run=shop.folder))

    return case


GUARDS = {
    "INF001": Guard(bad=fault("weights_that_fit"), good=healthy(), empty=NEVER_INFERS),
    "INF002": Guard(bad=fault("config_of_another_run"), good=healthy(), empty=without_script(stamped=False)),
    "INF003": Guard(bad=fault("train_mode_left_on"), good=healthy(), empty=without_script(NO_INFER)),
    "INF004": Guard(bad=fault("ground_truth_poses_given"), good=healthy(), empty=without_script(NO_INFER)),
    "INF005": Guard(bad=edited(RANDOM), good=healthy(), empty=without_script(NO_INFER, NO_OUTPUTS)),
    "INF006": Guard(bad=fault("mask_inverted"), good=healthy(), empty=without_script(NO_INFER)),
    "INF007": Guard(bad=edited(BENT), good=healthy(), empty=without_script(NO_INFER, NO_POINTS)),
    "INF009": Guard(bad=fault("scale_in_a_helper"), good=healthy(), empty=WRITES_OTHERS),
    "INF008": Guard(
        bad=summary(pred_mask_mean=0.01),
        good=summary(),
        empty=summary(pose_rmse=None, pred_mask_mean=None),
    ),
}

test_inference = guarded(GUARDS)
