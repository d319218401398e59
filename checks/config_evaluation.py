"""Config: how the training would be evaluated."""

from collections import Counter

from opv2v_doctor import Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.config import config, place
from opv2v_doctor.facts.datasets import asked_eval_parts, parts_of, train_parts
from opv2v_doctor.facts.evaluation import evaluation
from opv2v_doctor.facts.samples import FOLDERS


@check("CFG005", tier="static", requires=["CFG002"])
def eval_batch_is_not_empty(target: Target) -> Findings:
    """The evaluation batch size, as the repository computes it, is at least one.

    ## Why it matters
    The usual formula is `2 * (max_num_of_imgs_per_gpu // num_views)`: 0 as soon as a sample has more views
    than a GPU takes images, and then the evaluation loader cannot be built.

    ## How to fix
    Raise `train_params.max_num_of_imgs_per_gpu` to at least `dataset.num_views`.
    """
    built = evaluation(target)
    if built.batch is None:
        raise Skip("no evaluation loader is built")
    images = config(target).get("train_params.max_num_of_imgs_per_gpu")
    views = config(target).get("dataset.num_views")
    if built.batch < 1:
        yield error(
            f"eval batch size {built.batch}, needed is 1: {images} images a GPU, {views} views a sample",
            path=built.formula.path,
            line=built.formula.line,
            hint=f"train_params.max_num_of_imgs_per_gpu={views}",
            size=built.batch,
        )
    else:
        yield note(f"eval batch size {built.batch}", size=built.batch)


@check("CFG006", tier="static", requires=["CFG002"])
def every_eval_set_keeps_its_loader(target: Target) -> Findings:
    """Every evaluation set that the config asks for gets a loader of its own.

    ## Why it matters
    The training parses `test_dataset` into a dictionary. Two sets under one key, such as two splits of one
    class, leave one loader: the later replaces the earlier without a word, and "best" is chosen on that one.

    ## How to fix
    Make the key unique where the repository builds the dictionary (class and split), or ask for one set.
    """
    asked = asked_eval_parts(target)
    loaders = evaluation(target)
    kept = Counter(str(parts_of(expression)[0].split) for expression in loaders.kept.values())
    lost = Counter(str(part.split) for part in asked) - kept
    path, line = place(target, "dataset.test_dataset")
    where = f"{path.name}:{line}" if path else "an override"
    if lost:
        yield error(
            f"{len(asked)} evaluation sets asked for ({where}), {len(loaders.kept)} kept: "
            f"{', '.join(lost)} is replaced by {', '.join(kept)}, under the key "
            f"{', '.join(repr(key.strip()) for key in loaders.kept)}",
            path=loaders.place.path,
            line=loaders.place.line,
            hint="give each set a key of its own there, or ask for one set: dataset.test_dataset='...'",
            asked=[str(part.split) for part in asked],
            kept=list(kept),
        )
    else:
        yield note(
            f"{len(asked)} evaluation sets: {', '.join(str(part.split) for part in asked) or 'none'}",
            path=path,
            line=line,
        )


@check("CFG007", tier="static", requires=["CFG002"])
def eval_sets_are_not_trained_on(target: Target) -> Findings:
    """No evaluation set reads a split that is trained on.

    ## Why it matters
    A validation on the training split falls with the training loss, whatever the model has learned.

    ## How to fix
    Point the evaluation set at `validate` or `test`.
    """
    trained = {part.split for part in train_parts(target)} - {None}
    for part in asked_eval_parts(target):
        if part.split in trained:
            wrong = "test" if part.split in FOLDERS["train"] else "train"
            path, line = place(target, f"dataset.{wrong}_dataset")
            yield error(
                f"the evaluation set {part.class_name} reads {part.split!r}, which is trained on",
                path=path,
                line=line,
                hint="let it read another split: dataset.opv2v.split_names.val=validate"
                if wrong == "test"
                else "let the training read its own split: dataset.opv2v.split_names.train=train",
            )


@check("CFG008", tier="static", requires=["CFG002"])
def training_is_evaluated(target: Target) -> Findings:
    """The training is evaluated, so that a best checkpoint can be chosen.

    ## Why it matters
    Without an evaluation set, or with `eval_freq` at 0 or beyond the last epoch, no best checkpoint is ever
    written and nothing tells over-fitting.

    ## How to fix
    Ask for a set in `dataset.test_dataset`, and an `eval_freq` between 1 and `epochs`.
    """
    path, line = place(target, "dataset.test_dataset")
    if not asked_eval_parts(target):
        yield warning(
            "no evaluation set: checkpoint-best.pth will never be written",
            path=path,
            line=line,
            hint="dataset.test_dataset='+ 1_000 @ ${dataset.opv2v.val.dataset_str}'",
        )
    every, epochs = (config(target).number(f"train_params.{key}") for key in ("eval_freq", "epochs"))
    if every is not None and epochs is not None and not 0 < every <= epochs:
        path, line = place(target, "train_params.eval_freq")
        yield warning(
            f"eval_freq is {every:g} in a training of {epochs:g} epochs: it is never evaluated",
            path=path,
            line=line,
            hint="train_params.eval_freq=1",
        )
