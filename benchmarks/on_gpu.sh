#!/usr/bin/env bash
# What only a GPU shows, in ten minutes at most: tolerances of the step oracle, mixed precision, peak memory, the
# processes on a GPU, and the watch's share of a real step.
#
#   benchmarks/on_gpu.sh [FOLDER]     results go to FOLDER (default: ./on_gpu), one file each; a summary at the end
#
# Needs one NVIDIA GPU, a Python with torch for it, and the doctor installed beside it (PYTHON chooses another one).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(mkdir -p "${1:-on_gpu}" && cd "${1:-on_gpu}" && pwd)
python=${PYTHON:-python}
cd "$here" || exit 2
demo=$(mktemp -d)/demo
trap 'rm -rf "$(dirname "$demo")"' EXIT

step() {  # step NAME SECONDS COMMAND...: runs it within its time, keeps its words, never ends the script
  local name=$1 seconds=$2 began=$SECONDS
  shift 2
  timeout --kill-after=10 "$seconds" "$@" >"$out/$name.txt" 2>&1
  printf '%-14s exit %3d  %4d s\n' "$name" "$?" "$((SECONDS - began))" | tee -a "$out/summary.txt"
}

: >"$out/summary.txt"
step machine 30 "$python" -c 'import torch; print(torch.__version__, torch.version.cuda, torch.cuda.get_device_name())'
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || { echo "no GPU that torch can use"; exit 2; }

# The embedded repository, untrained: smoke starts from its pretrained weights.
step demo 60 "$python" -c "
from pathlib import Path
from opv2v_doctor.sandbox.template import write_repository
import os, subprocess, sys
place = Path('$demo')
write_repository(place)
overrides = ['machine=demo', 'model=mapanything', 'loss=opv2v_pose_loss', 'train_params=opv2v_cyl_coop']
command = [sys.executable, 'scripts/make_pretrained.py', *overrides]
subprocess.run(command, cwd=place, check=True, env={**os.environ, 'PYTHONPATH': str(place)})
# both ranks share the one GPU, which NCCL refuses: gloo carries their gradients
tools = place / 'mapanything/utils/train_tools.py'
text = tools.read_text()
for old, new in (
    ('\"nccl\" if torch.cuda.is_available() else \"gloo\"', '\"gloo\"'),
    ('torch.cuda.set_device(args.gpu)', 'torch.cuda.set_device(0)'),
):
    assert old in text, old
    text = text.replace(old, new)
tools.write_text(text)
"

# NVML: a process that holds memory of the GPU is named.
"$python" -c 'import time, torch; kept = torch.zeros(2**28, device="cuda"); time.sleep(40)' &
holder=$!
sleep 10
step nvml 25 "$python" -m opv2v_doctor check ENV005 --gpus 1 --repo "$demo"
kill "$holder" 2>/dev/null; wait "$holder" 2>/dev/null

# The step oracle in each precision: SMK006 tells how far ranks and one process are apart, SMK021 the peak memory.
for precision in "fp32 train_params.amp=0" "bf16 train_params.amp=1" "fp16 train_params.amp=1 train_params.amp_dtype=fp16"; do
  set -- $precision
  name=$1
  shift
  step "smoke_$name" 90 "$python" -m opv2v_doctor smoke --repo "$demo" --format json "$@"
done

# The watch: its share of steps of 100 ms on the processor, and of steps whose gradients lie on the GPU.
step watch 90 "$python" -m benchmarks watch
step watch_gpu 60 env WATCH_DEVICE=cuda "$python" -m benchmarks watch

"$python" - "$out" <<'PY' | tee -a "$out/summary.txt"
import json, pathlib, sys

for path in sorted(pathlib.Path(sys.argv[1]).glob("smoke_*.txt")):
    text = path.read_text(errors="replace")
    try:
        report = json.loads(text[text.index("{"):])
    except ValueError:
        print(path.stem, "no report:", text.strip().splitlines()[-1:] )
        continue
    for result in report["results"]:
        if result["status"] not in ("passed", "skipped") or result["code"] in ("SMK006", "SMK015", "SMK020", "SMK021"):
            words = [finding["message"] for finding in result["findings"]] or [result["reason"]]
            print(path.stem, result["code"], result["status"], "; ".join(words)[:300])
PY
