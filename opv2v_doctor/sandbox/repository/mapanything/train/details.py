"""The parts of a loss by name, as they are logged."""


def total(parts):
    """The sum of all parts, and their averages over the views by name."""
    details = {}
    for name, losses in parts.items():
        key = detail_name(name)
        details |= {key: losses[0].item()} if name == "scale" else by_view(key, losses)
    return sum(sum(losses) for losses in parts.values()), details


def by_view(name, losses):
    """The losses of single views and their average, by name."""
    named = {f"{name}_view{number}": loss.item() for number, loss in enumerate(losses, 1)}
    return named | {f"{name}_avg": mean_of(losses).item()}


def detail_name(name):
    """The name under which a part of the geometry loss is logged."""
    return f"FactoredGeometryScaleRegr3DPlusNormalGMLoss_{name}"


def mean_of(losses):
    """The mean of any number of losses."""
    losses = list(losses)
    return sum(losses) / max(len(losses), 1)


def wide(sizes):
    """Sizes (B,) that divide maps (B, H, W, D)."""
    return sizes[:, None, None, None]
