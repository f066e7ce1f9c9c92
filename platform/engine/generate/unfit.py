"""A prompt or an option that a model cannot be asked."""


class Unfit(ValueError):
    """A prompt that this model cannot be asked: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
