"""What is installed: the four packages under their plain names, which nothing else may claim."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGES = {"es", "nodes", "ops", "projections"}


def top_level_names(distribution: Distribution) -> set[str]:
    names = {file.parts[0].partition(".")[0] for file in distribution.files or ()}
    return names | set((distribution.read_text("top_level.txt") or "").split())


def test_no_installed_distribution_claims_one_of_our_names() -> None:
    others = [found for found in distributions() if found.metadata["Name"] != "aulario"]
    assert len(others) > 10, "this looks at what is installed"
    claims = {found.metadata["Name"]: top_level_names(found) & PACKAGES for found in others}
    assert {name: claimed for name, claimed in claims.items() if claimed} == {}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=60)
    (built,) = directory.glob("*.whl")
    return built


def test_the_wheel_installs_the_four_packages_and_nothing_else(wheel: Path) -> None:
    names = {Path(name).parts[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_every_module_and_the_reference_load(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=30
    ).stdout.split()
    assert "ops/data/programs.csv" in tracked
    assert set(tracked) <= set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_brings_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert "aulario = ops.__main__:main" in archive.read(entry_points).decode()
