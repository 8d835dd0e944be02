"""What is published holds all that it needs."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="needs the extra dev")

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def python(*arguments: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the source archive, and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("built")
    python("-m", "build", "--no-isolation", "--outdir", folder, ROOT, folder=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """A folder with the wheel's files, as pip puts them into site-packages."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def test_the_index_would_take_both(built):
    python("-m", "twine", "check", "--strict", *built.iterdir(), folder=built)


def test_the_source_archive_is_the_repository(built):
    if not (ROOT / ".git").exists():
        pytest.skip("git does not tell what is in the repository")
    done = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    tracked = {name for name in done.stdout.splitlines() if (ROOT / name).exists()}
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert tracked
    assert tracked <= names


def test_the_wheel_has_every_file_of_the_package(installed):
    expected = {path.relative_to(ROOT) for path in (ROOT / "glavitu").rglob("*")}
    missing = {path for path in expected if not (installed / path).exists()}
    assert {path for path in missing if "__pycache__" not in path.parts} == set()
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} == {"glavitu"}


def test_an_installed_glavitu_finds_what_comes_with_it(installed, tmp_path):
    where = {"folder": tmp_path, "PYTHONPATH": str(installed)}
    listed = python("-m", "glavitu", "configs", **where).stdout.splitlines()
    expected = [*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("sweeps/*.yaml")]
    assert {line.split()[0] for line in listed} == {
        path.relative_to(ROOT).as_posix() for path in expected
    }
    name = "configs/strategies/region_encoding.yaml"
    done = python("-m", "glavitu", "fit", "--config", name, "--print_config", **where)
    assert str(installed / "glavitu" / name) in done.stderr
    assert "location: region" in done.stdout
