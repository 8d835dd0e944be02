import subprocess
import sys


def test_warnings_are_a_line_without_code():
    code = (
        "import warnings\nfrom glavitu.cli.quiet import warn_plainly\nwarn_plainly()\n"
        "warnings.warn('the slope is odd')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "glavitu: warning: the slope is odd\n"
