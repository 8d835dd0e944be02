"""Whether an exception came up while Lightning restored a checkpoint."""

from pathlib import PurePath

#: The module of Lightning that hands the parts of a checkpoint to those that they belong to.
CONNECTOR = "checkpoint_connector.py"


def checkpoint_of(error: BaseException) -> str | None:
    """Return the checkpoint that was being restored when an exception came up, None if none was.

    Args:
        error: The exception.
    """
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if PurePath(code.co_filename).name == CONNECTOR and "restore" in code.co_name:
            trainer = getattr(trace.tb_frame.f_locals.get("self"), "trainer", None)
            return str(getattr(trainer, "ckpt_path", None) or "the checkpoint")
        trace = trace.tb_next
    return None
