"""Counts in words."""


def counted(count: int, what: str, form: str = "") -> str:
    """Give a number and what is counted, in the plural unless it is one.

    Args:
        count: how many.
        what: of what, in the singular.
        form: how the number is written, as for `format`.

    """
    return f"{count:{form}} {what}{'s' * (count != 1)}"
