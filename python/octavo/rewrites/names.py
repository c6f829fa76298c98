"""Names for the values that a rewrite adds."""

from octavo.program import Value


def fresh(name: str, values: dict[str, Value]) -> str:
    """This name, or one like it that no value has."""
    while name in values:
        name += "_"
    return name
