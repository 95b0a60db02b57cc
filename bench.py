"""Runs the packages' benchmarks one after another: ``hatch run bench``, or ``hatch run bench gpt mlp``."""

import subprocess
import sys
from pathlib import Path

root = Path(__file__).parent
files = sorted(root.glob("packages/*/benchmarks/*.py"))
wanted = sys.argv[1:] or [file.stem for file in files]
if unknown := set(wanted) - {file.stem for file in files}:
    sys.exit(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(file.stem for file in files)}")
failed = []
for file in files:
    if file.stem in wanted:
        print(f"\n{file.relative_to(root)}", flush=True)
        if subprocess.run([sys.executable, file]).returncode:
            failed.append(file.stem)
sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
