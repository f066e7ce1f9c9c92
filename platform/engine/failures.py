"""Failures the engine expects: a code for programs, a sentence and a hint for people, the rows at fault."""

from collections.abc import Sequence

from engine.specs.problems import NAMED_ROWS, Problem, has_errors


class RunFailed(Exception):
    """A run that cannot go on for a reason the user can act on."""

    def __init__(self, code: str, message: str, hint: str = "", rows: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.rows = tuple(rows[:NAMED_ROWS])


class Refused(RunFailed):
    """A spec or dataset with several problems, all of them listed."""

    def __init__(self, code: str, problems: Sequence[Problem]) -> None:
        first = next(problem for problem in problems if problem.severity == "error")
        super().__init__(code, first.message, first.hint, first.rows)
        self.problems = tuple(problems)


class Stopped(Exception):
    """The run was asked to stop and has saved what it had."""


class Finished(Exception):
    """One of several processes has no more to do: the first one goes on alone."""


def refuse(code: str, problems: Sequence[Problem]) -> None:
    """Raise Refused if anything in `problems` is an error."""
    if has_errors(problems):
        raise Refused(code, problems)
