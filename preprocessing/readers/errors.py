"""ReadError: a file cannot be read as a recording."""


class ReadError(ValueError):
    """Names the file and the cause; `reason` is the cause alone, for tables of failures."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason
        self.path = str(path)

    def __reduce__(self):
        return type(self), (self.path, self.reason)
