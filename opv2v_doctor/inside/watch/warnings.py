"""Warnings: what the training does that it should not, told once an epoch for each group, with the step."""


class Warnings:
    """Writes warnings; each names what is wrong, the parameter group where there is one, and the place."""

    def __init__(self, lines, progress, guard):
        self.lines, self.progress, self.guard = lines, progress, guard
        self.told = set()

    def note(self, what, message, **facts):
        """Worth knowing, and perhaps as it shall be."""
        self(what, message, event="note", **facts)

    def __call__(self, what, message, event="warning", **facts):
        key = (what, facts.get("group"), self.progress.epoch)
        if key not in self.told:
            self.told.add(key)
            self.lines.event(event, what=what, message=message, **dict(self.progress.place(), **facts))
