import subprocess
import sys


def test_warnings_are_a_line_without_code():
    code = (
        "import warnings\nfrom glavitu.cli.quiet import warn_plainly\nwarn_plainly()\n"
        "warnings.warn('the slope is odd')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "glavitu: warning: the slope is odd\n"


def test_logs_are_a_line_and_those_of_others_are_let_be():
    code = (
        "import logging\nfrom glavitu.quiet import warn_plainly\nwarn_plainly()\n"
        "logging.getLogger('glavitu.mapping.mapper').warning('out: this map is %s', 'complete')\n"
        "logging.getLogger('glavitu.mapping.mapper').info('a detail')\n"
        "logging.getLogger('another').warning('theirs')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "glavitu: out: this map is complete\ntheirs\n"
