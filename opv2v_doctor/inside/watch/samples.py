"""The samples that are trained on: which ones, in which order, and whether an epoch repeats another."""

IDENTITY = ("label", "instance", "idx")
LOOKED_AT = 8  # steps of an epoch
FEWEST_STEPS, FEWEST_SAMPLES = 3, 4


class Order:
    """The first samples of each epoch."""

    def __init__(self, warn):
        self.warn = warn
        self.before, self.now = None, []

    def begin_epoch(self):
        """The last epoch becomes the one before."""
        self.before, self.now = self.now or self.before, []

    def see(self, batch):
        """Take in a batch, while the epoch is young."""
        if len(self.now) < LOOKED_AT:
            self.now.append(names(batch))

    def end_epoch(self):
        """Tell if the samples came as in the epoch before."""
        different = {name for names in self.now for name in names}
        enough = len(self.now) >= FEWEST_STEPS and len(different) >= FEWEST_SAMPLES
        if enough and self.now == self.before:
            self.warn(
                "samples repeat",
                "the first {} batches are those of the epoch before, in the same order: is set_epoch "
                "called?".format(len(self.now)),
            )


def names(batch):
    """One word a sample: what its views say of themselves."""
    views = [view for view in batch if isinstance(view, dict)] if isinstance(batch, (list, tuple)) else []
    return [" ".join(part for view in views for part in words(view, number)) for number in range(size(views))]


def draws(batch):
    """The random numbers that the samples were drawn with, where they say them."""
    views = [view for view in batch if isinstance(view, dict)] if isinstance(batch, (list, tuple)) else []
    return [
        view["rng"].tolist()
        for view in views
        if isinstance(view, dict) and hasattr(view.get("rng"), "tolist")
    ]


def size(views):
    """Samples in the batch."""
    label = views[0].get("label") if views else None
    return len(label) if isinstance(label, (list, tuple)) else 0


def words(view, number):
    for key in IDENTITY:
        value = view.get(key)
        if key == "idx" and isinstance(value, (list, tuple)):
            yield str([int(part[number]) for part in value])
        elif isinstance(value, (list, tuple)) and len(value) > number:
            yield str(value[number])
