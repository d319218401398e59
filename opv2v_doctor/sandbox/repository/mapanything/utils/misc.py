"""Output that goes to the log."""


class StreamToLogger:
    """A file that writes each line as a record of a logger."""

    def __init__(self, logger, level):
        self.logger = logger
        self.level = level

    def write(self, text):
        """One record for each line."""
        for line in text.rstrip().splitlines():
            self.logger.log(self.level, line.rstrip())

    def flush(self):
        """Nothing is held back."""

    def isatty(self):
        """A log is not a terminal."""
        return False
