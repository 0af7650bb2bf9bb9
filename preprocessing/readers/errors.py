"""ReadError: a file cannot be read as a recording."""


class ReadError(ValueError):
    """Names the file and the cause; `reason` is the cause alone, for tables of failures."""

    def __init__(self, path, reason: str):
        super().__init__(f"{path}: {reason}")
        self.reason = reason
        self.path = str(path)

    def of(self, recording) -> "ReadError":
        """The same of a recording: a fault in another file is its fault, by the file's name."""
        name = self.path.replace("\\", "/").rpartition("/")[2]
        here = name == str(recording).replace("\\", "/").rpartition("/")[2]
        return type(self)(recording, self.reason if here else f"{name}: {self.reason}")

    def __reduce__(self):
        return type(self), (self.path, self.reason)
