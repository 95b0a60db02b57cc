"""What a release is made of: its tag, an index's links, and archives that hold all of the package."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ADDRESS = "https://example.org/deepscratch"


@pytest.fixture
def release() -> ModuleType:
    specification = importlib.util.spec_from_file_location("release", ROOT / "release.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with ds-rnn alone, its changelog dated."""
    root = tmp_path / "checkout"
    package = root / "packages" / "ds-rnn"
    for name in release.tracked("ds-rnn"):
        if name.startswith("src/") or "/" not in name:
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_bytes((ROOT / "packages" / "ds-rnn" / name).read_bytes())
    changes = package / "CHANGELOG.md"
    dated = re.sub(r"(?m)^(## \[\d+\.\d+\.\d+\]) - unreleased$", r"\1 - 2030-01-31", changes.read_text())
    changes.write_text(dated)
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", root, *command], check=True)
    monkeypatch.setattr(release, "ROOT", root)
    return root


def version_of(checkout: Path) -> str:
    source = (checkout / "packages/ds-rnn/src/ds_rnn/__init__.py").read_text()
    return re.search(r'__version__ = "(.+)"', source)[1]


def test_archives_hold_what_git_knows_and_an_index_can_show_them(
    release: ModuleType, checkout: Path, tmp_path: Path
) -> None:
    (checkout / "packages/ds-rnn/src/ds_rnn/left_behind.py").write_text("")  # git does not know it
    tag = f"ds-rnn-v{version_of(checkout)}"
    wheel, source = release.build(tag, ADDRESS, tmp_path / "dist", "--no-isolation")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
        said = message_from_bytes(archive.read(name))
    assert f"Changelog, {ADDRESS}/blob/{tag}/packages/ds-rnn/CHANGELOG.md" in said.get_all("Project-URL")
    links = re.findall(r"\]\(([^)#\s]+)", said.get_payload())
    assert links
    assert all("://" in link for link in links)
    with tarfile.open(source) as archive:
        assert not any("left_behind" in name for name in archive.getnames())


def test_archives_with_a_file_too_many_or_too_few_are_refused(
    release: ModuleType, checkout: Path, tmp_path: Path
) -> None:
    names = [name for name in release.tracked("ds-rnn") if name.startswith("src/ds_rnn/")]
    for change in (names[:-1], [*names, "src/ds_rnn/key.pem"]):
        wheel = tmp_path / f"{len(change)}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name in change:
                archive.writestr(name.removeprefix("src/"), "")
        with pytest.raises(ValueError, match=r"missing|not expected"):
            release.check_content("ds-rnn", [wheel])


@pytest.mark.parametrize("tag", ["v1.0.0", "ds-rnn-1.0.0", "ds-none-v1.0.0", "ds-rnn-v1.0", "ds-rnn-v99.0.0"])
def test_a_tag_that_names_no_version_here_is_refused(release: ModuleType, checkout: Path, tag: str) -> None:
    with pytest.raises(ValueError, match=r"tag|version"):
        release.named_by(tag)


def test_a_version_without_a_date_is_refused(release: ModuleType, checkout: Path) -> None:
    file = checkout / "packages/ds-rnn/CHANGELOG.md"
    file.write_text(file.read_text().replace("2030-01-31", "unreleased"))
    with pytest.raises(ValueError, match=r"CHANGELOG\.md has no line"):
        release.named_by(f"ds-rnn-v{version_of(checkout)}")


def test_links_become_absolute(release: ModuleType) -> None:
    text = "[a](src/a.py) [b](../ds-core/README.md#u) ![c](c.png) [d](https://d.org) [e](#e)"
    assert release.absolute(text, ADDRESS, "t", "packages/ds-rnn") == (
        f"[a]({ADDRESS}/blob/t/packages/ds-rnn/src/a.py) [b]({ADDRESS}/blob/t/packages/ds-core/README.md#u) "
        f"![c]({ADDRESS}/raw/t/packages/ds-rnn/c.png) [d](https://d.org) [e](#e)"
    )


@pytest.mark.parametrize(
    ("checkout", "index"),
    [
        ("pip install ./packages/ds-core    # in a checkout\n", "pip install ds-core\n"),
        ('pip install ./packages/ds-core "./packages/ds-rnn[cli]"\n', 'pip install "ds-rnn[cli]"\n'),
        ('`pip install "./packages/ds-core[plot,data]"`', '`pip install "ds-core[plot,data]"`'),
        ("pip install hatch", "pip install hatch"),
    ],
)
def test_installations_from_a_checkout_become_those_from_an_index(
    release: ModuleType, checkout: str, index: str
) -> None:
    assert release.by_name(checkout) == index


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_workflows_pin_what_they_use_and_may_only_read(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "uses" in job or job["timeout-minutes"] <= 60, name
        more = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert not more or job["environment"], f"{name} may write {more} without a maintainer's approval"
    for used in re.findall(r"uses: (\S+)", file.read_text()):
        assert used.startswith("./") or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), used


@pytest.mark.skipif(sys.platform == "win32", reason="the workflow's shell is bash")
def test_workflow_files_are_valid_bash() -> None:
    for file in WORKFLOWS:
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            for step in job.get("steps", []):
                if "run" in step:
                    subprocess.run(["bash", "-n"], input=step["run"], text=True, check=True)


def test_commits_are_checked_by_the_linter_that_ci_runs() -> None:
    (locked,) = re.findall(r"^ruff==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {tuple(hook["additional_dependencies"]) for hook in repository["hooks"]} == {(locked,)}
