"""ContractError: a recording cannot become what the contract wants."""


class ContractError(ValueError):
    """Names the file, what was wanted, what came and what to do; `reason` leaves the file out."""

    def __init__(self, source: str, wanted: str, came: str, do: str):
        self.reason = f"wanted {wanted}, but {came}; {do}"
        super().__init__(f"{source or 'recording'}: {self.reason}")
        self._parts = (source, wanted, came, do)

    def __reduce__(self):
        return type(self), self._parts


def some(names, limit: int = 8) -> str:
    """'A, B, C, …' for messages."""
    names = list(names)
    return ", ".join(names[:limit]) + (f", … ({len(names)})" if len(names) > limit else "")
