"""What docs/security.md says of code, sentence by sentence."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from glavitu.cli import main

from .commands import OLD, ROOT, fails, map_options


def test_yaml_is_bounded_and_makes_no_objects(tmp_path, capsys):
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n"
        for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text, told in {
        laughs: "100,000 values",
        "data: &d\n  root: *d\n": "stands for what it is a part of",
        "data:\n  root: !!python/object/apply:os.mkdir [pwned]\n": "is no YAML",
        "data:\n  root: a\n  root: b\n": "'root' comes twice",
        "- 1\n": "is a list",
        "[" * 10_000: "deep",
        'data:\n  root: "a\\0b"\n': "NUL",
    }.items():
        Path("evil.yaml").write_text(text)
        assert told in fails(["fit", "--config", "evil.yaml"], capsys)
    Path("evil.yaml").write_bytes("data:\n  root: é\n".encode("latin-1"))
    assert "UTF-8" in fails(["fit", "--config", "evil.yaml"], capsys)
    assert not Path("pwned").exists()


@pytest.mark.parametrize("option", ["trainer.logger", "data.train_bounds", "data"])
@pytest.mark.parametrize("given", ["inline", "file"])
def test_yaml_in_options_and_in_files_that_they_name_is_bounded(option, given, capsys):
    """The error once had 58 MB."""
    levels = [f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in pairwise("abcdefg")]
    laughs = "{a: &a [x,x,x,x,x,x,x,x,x,x], " + ", ".join(levels) + "}"
    Path("nested.yaml").write_text(laughs)
    value = laughs if given == "inline" else "nested.yaml"
    with pytest.raises(SystemExit) as end:
        sys.exit(main(["fit", "--data.root", "nowhere", f"--{option}", value]))
    assert end.value.code in (1, 2)
    told = capsys.readouterr().err
    assert len(told) < 5000
    assert "100,000 values" in told or given == "file"


@pytest.mark.parametrize("start", [["-m", "glavitu"], ["-m", "glavitu.__main__"]])
def test_no_module_is_imported_from_the_current_folder(tmp_path, start):
    for name in ("torch", "numpy", "rasterio", "lazy_loader", "h5py", "yaml", "multiprocessing"):
        (tmp_path / f"{name}.py").write_text(f"open('pwned_{name}', 'w')\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *start, "info", "."],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert "glavitu: error: .: holds neither" in done.stderr
    assert not list(tmp_path.glob("pwned*"))


def test_workers_do_not_look_there_either(tmp_path):
    (tmp_path / "pickle.py").write_text("open('pwned', 'w')\n")
    code = (
        "import sys; sys.argv = ['glavitu', 'configs']\n"
        "from glavitu.__main__ import main\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
        "    import subprocess\n"
        "    subprocess.run([sys.executable, '-c', 'import pickle'], check=True)\n"
    )
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "run.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "script/run.py"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_of_a_module_that_is_run_do_not_look_there(method, tmp_path):
    """As `python -m glavitu` has the current folder in its path."""
    folder = tmp_path / "current"
    folder.mkdir()
    for name in ("torch", "json", "decimal"):
        (folder / f"{name}.py").write_text(f"open('pwned_{name}', 'w')\n")
    (tmp_path / "run.py").write_text(
        "import multiprocessing, os, runpy, sys\n"
        "import importlib\n"
        "if __name__ == '__main__':\n"
        "    sys.path[0], sys.argv = os.getcwd(), ['-m', 'configs']\n"
        "    try:\n"
        "        runpy.run_module('glavitu', run_name='__main__', alter_sys=True)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    for name in ('torch', 'json', 'decimal'):\n"
        "        worker = context.Process(target=importlib.import_module, args=(name,))\n"
        "        worker.start()\n"
        "        worker.join()\n"
        "        assert not worker.exitcode\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(tmp_path / "run.py")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob("pwned*"))


def test_a_configuration_and_the_path_are_code(tmp_path, capsys):
    """So that nobody takes them for data."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "of_mine.py").write_text(
        "import os, torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, name: str):\n"
        "        super().__init__()\n"
        "        os.mkdir(name)\n"
    )
    described = "{class_path: of_mine.Net, init_args: {name: called}}"
    (tmp_path / "mine.yaml").write_text(f"model: {{model: {described}}}\n")
    command = [sys.executable, "-m", "glavitu", "map", *map_options(str(OLD))]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'path'}"}
    subprocess.run(
        [*command, "--model", "mine.yaml"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert (tmp_path / "called").is_dir()
