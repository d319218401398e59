"""The models, by name."""

from mapanything.models.mapanything import MapAnything

MODELS = {"mapanything": MapAnything}


def init_model(model_str, model_config, torch_hub_force_reload=False):
    """The model of this name, with its pretrained weights if the config names some."""
    if model_str not in MODELS:
        raise ValueError(f"unknown model {model_str!r}; known: {', '.join(MODELS)}")
    return MODELS[model_str](**model_config)
