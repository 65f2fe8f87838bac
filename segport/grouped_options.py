"""Options that several commands share, or that a table has one of per entry, as one argument."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Annotated, Any

Command = Callable[..., None]


def grouped(
    argument: str, options: Sequence[inspect.Parameter], gather: Callable[[Mapping[str, Any]], Any]
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command `options`, and it gets them as one `argument`.

    `gather` makes the argument of the options' values by their names; it raises UsageError for
    values that it has no use for.
    """

    def decorator(command: Command) -> Command:
        @wraps(command)
        def wrapper(**given: Any) -> None:
            values = {option.name: given.pop(option.name) for option in options}
            command(**given, **{argument: gather(values)})

        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != argument]
        parameters = [*own, *options]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapper

    return decorator


def option(name: str, type_: Any, described: Any) -> inspect.Parameter:
    """Return an option that need not be given; `described` is what typer.Option returned."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    annotation = Annotated[type_ | None, described]
    return inspect.Parameter(name, keyword, default=None, annotation=annotation)
