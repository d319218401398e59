"""Config: how the training would be evaluated."""

from collections import Counter

from opv2v_doctor import Findings, Override, Skip, Target, Text, check, error, examined, note, warning
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.datasets import asked_eval_parts, parts_of, train_parts
from opv2v_doctor.facts.launch.evaluation import evaluation
from opv2v_doctor.facts.launch.splits import FOLDERS


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
    yield examined(1, "batch size")
    if built.batch < 1:
        yield error(
            "the evaluation batch size is {size}, expected at least 1: {images} images per GPU, "
            "{views} views per sample",
            at=built.formula,
            hint="raise it: {override}",
            override=Override(f"train_params.max_num_of_imgs_per_gpu={views}"),
            size=built.batch,
            images=images,
            views=views,
        )
    else:
        yield note("evaluation batch size {size}", size=built.batch)


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
    yield examined(len(asked), "evaluation set")
    at = place(target, "dataset.test_dataset")
    where = f"{at.path.name}:{at.line}" if at else Text("an override")
    if lost:
        yield error(
            "{asked_for:evaluation set|evaluation sets} asked for ({where}), {left} kept: {lost} is replaced "
            "by {kept}, under the key {keys}",
            at=loaders.place,
            hint="give each set a key of its own there, or ask for one set only in dataset.test_dataset",
            asked_for=len(asked),
            where=where,
            left=len(loaders.kept),
            lost=list(lost),
            kept=list(kept),
            keys=[repr(key.strip()) for key in loaders.kept],
            asked=[str(part.split) for part in asked],
        )
    elif asked:
        yield note("evaluation sets: {splits}", at=at, splits=[str(part.split) for part in asked])


@check("CFG007", tier="static", requires=["CFG002"])
def eval_sets_are_not_trained_on(target: Target) -> Findings:
    """No evaluation set reads a split that is trained on.

    ## Why it matters
    A validation on the training split falls with the training loss, whatever the model has learned.

    ## How to fix
    Point the evaluation set at `validate` or `test`.
    """
    trained = {part.split for part in train_parts(target)} - {None}
    known = [part for part in asked_eval_parts(target) if part.split is not None]
    yield examined(len(known) if trained else 0, "evaluation set")
    for part in known:
        if part.split in trained:
            wrong, own = (
                ("test", "val=validate") if part.split in FOLDERS["train"] else ("train", "train=train")
            )
            key = f"dataset.opv2v.split_names.{own.partition('=')[0]}"
            yield error(
                "the evaluation set {name} reads the split {split!r}, which is trained on",
                at=place(target, f"dataset.{wrong}_dataset"),
                hint="give dataset.{wrong}_dataset a split of its own: {override}"
                if config(target).has(key)
                else "give dataset.{wrong}_dataset a split of its own",
                name=part.class_name,
                split=part.split,
                wrong=wrong,
                override=Override(f"dataset.opv2v.split_names.{own}"),
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
    if not asked_eval_parts(target):
        yield warning(
            "no evaluation set: no checkpoint-best.pth will be written",
            at=place(target, "dataset.test_dataset"),
            hint="add one to dataset.test_dataset",
        )
    every, epochs = (config(target).number(f"train_params.{key}") for key in ("eval_freq", "epochs"))
    yield examined(sum(value is not None for value in (every, epochs)), "value")
    if every is not None and epochs is not None and not 0 < every <= epochs:
        yield warning(
            "eval_freq is {every:g} in a training of {epochs:g} epochs: it is never evaluated",
            at=place(target, "train_params.eval_freq"),
            hint="evaluate after every epoch: {override}",
            override=Override("train_params.eval_freq=1"),
            every=every,
            epochs=epochs,
        )
