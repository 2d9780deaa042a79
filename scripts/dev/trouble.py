"""What keeps the stack from running, in one sentence that says what to do."""


class Trouble(Exception):
    """Shown as it is, without a traceback; the program then ends with 1."""
