"""Builds a package's release from its tag, checked and ready to upload: ``hatch run release ds-core-v0.2.0``.

Until the upload, nothing is published, so READMEs install from a checkout. What an index shows is made here:
they install by name, their links lead to the repository as it was at the tag, and the project's addresses are
added; none stands in the source.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import tomlkit

ROOT = Path(__file__).parent
TAG = re.compile(r"(ds-[a-z]+)-v(\d+\.\d+\.\d+)")


def named_by(tag: str) -> tuple[str, str]:
    """Returns package and version of a tag, after checking that the checkout has that version, dated."""
    match = TAG.fullmatch(tag)
    if not match or not (ROOT / "packages" / match[1]).is_dir():
        raise ValueError(f"tag: expected PACKAGE-vX.Y.Z of a package under packages/, got {tag!r}")
    package, version = match.groups()
    folder = ROOT / "packages" / package
    source = (folder / "src" / package.replace("-", "_") / "__init__.py").read_text(encoding="utf-8")
    (here,) = re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE)
    if here != version:
        raise ValueError(f"{tag}: the checkout's {package} has version {here}")
    changes = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE):
        raise ValueError(f"{tag}: {package}'s CHANGELOG.md has no line '## [{version}] - YYYY-MM-DD'")
    return package, version


def absolute(text: str, repository: str, tag: str, folder: str) -> str:
    """Turns a README's relative links into links to the repository as it was at the tag.

    Args:
        text: the Markdown.
        repository: the address without a slash at its end.
        tag: what the links are to show.
        folder: the README's, relative to the repository's root.
    """

    def link(match: re.Match[str]) -> str:
        picture, words, where = match.groups()
        if "://" in where or where.startswith(("#", "mailto:")):
            return match[0]
        parts: list[str] = []
        for part in f"{folder}/{where}".split("/"):
            if part == "..":
                parts.pop()
            elif part != ".":
                parts.append(part)
        return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/{tag}/{'/'.join(parts)})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, text)


def by_name(text: str) -> str:
    """Turns installations from a checkout, all of ours that a package needs, into those from an index."""

    def install(match: re.Match[str]) -> str:
        folders = re.findall(r"\./packages/([\w,\[\]-]+)", match[0])
        asked = [name for name in folders if "[" in name or name == folders[-1]]
        return "pip install " + " ".join(f'"{name}"' if "[" in name else name for name in asked)

    return re.sub(r'pip install(?: "?\./packages/[\w,\[\]-]+"?)+(?: +# in a checkout)?', install, text)


def tracked(package: str) -> list[str]:
    """Lists a package's files that git knows, relative to its folder."""
    command = ["git", "-C", str(ROOT / "packages" / package), "ls-files", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return sorted(filter(None, listed.split("\0")))


def stage(package: str, repository: str, tag: str, folder: Path) -> None:
    """Copies what git knows of a package to a folder, with the links and addresses that an index shows."""
    for name in tracked(package):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "packages" / package / name, folder / name)
    readme, project = folder / "README.md", folder / "pyproject.toml"
    text = by_name(readme.read_text(encoding="utf-8"))
    text = absolute(text, repository, tag, f"packages/{package}")
    readme.write_text(text, encoding="utf-8")
    content = tomlkit.parse(project.read_text(encoding="utf-8"))
    at_tag = f"{repository}/blob/{tag}/packages/{package}"
    urls = tomlkit.table()
    urls.update(
        {"Source": repository, "Changelog": f"{at_tag}/CHANGELOG.md", "Issues": f"{repository}/issues"}
    )
    content["project"]["urls"] = urls
    project.write_text(tomlkit.dumps(content), encoding="utf-8")


def check_content(package: str, files: list[Path]) -> None:
    """Checks that the archives hold each file of the package that git knows, and no other."""
    module = package.replace("-", "_")
    names = set(tracked(package))
    for file in files:
        if file.suffix == ".whl":
            with zipfile.ZipFile(file) as wheel:
                held = {name for name in wheel.namelist() if ".dist-info/" not in name}
            expected = {name.removeprefix("src/") for name in names if name.startswith(f"src/{module}/")}
        else:
            with tarfile.open(file) as archive:
                held = {member.name.partition("/")[2] for member in archive.getmembers()} - {"PKG-INFO"}
            expected = names
        if held != expected:
            missing, more = sorted(expected - held), sorted(held - expected)
            raise ValueError(f"{file.name}: missing {missing}, not expected {more}")


def build(tag: str, repository: str, out: Path, *options: str) -> list[Path]:
    """Builds the archives that a tag releases, and checks what they hold; options are those of ``build``."""
    package, version = named_by(tag)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        stage(package, repository.rstrip("/"), tag, Path(folder))
        subprocess.run(
            [sys.executable, "-m", "build", "--outdir", out.resolve(), *options, folder], check=True
        )
    stem = f"{package.replace('-', '_')}-{version}"
    files = [out / f"{stem}-py3-none-any.whl", out / f"{stem}.tar.gz"]
    check_content(package, files)
    return files


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tag", help="PACKAGE-vX.Y.Z")
    parser.add_argument("--repository", required=True, help="its address, for links")
    parser.add_argument("--out", type=Path, default=Path("dist"))
    options = parser.parse_args()
    try:
        files = build(options.tag, options.repository, options.out)
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *files], check=True)
    except (ValueError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
    for file in files:
        print(f"{file}  {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
