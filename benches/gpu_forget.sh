#!/usr/bin/env bash
# The paper's main table at 95 %, on a CUDA device: CIFAR-10 and ResNet-18 are trained (182 epochs), pruned by
# one-shot magnitude with rewinding to epoch 8, and made to forget a class and a random tenth by retraining,
# fine-tuning and l1-sparse.
#
#   UNLEARN=./unlearn benches/gpu_forget.sh DATA OUT
#   UNLEARN=./unlearn SEEDS=1,2,3 DEVICE=cuda:0/bf16 METHODS=l1-sparse benches/gpu_forget.sh DATA OUT
#   DEVICE=cpu WHAT=made benches/gpu_forget.sh made OUT        # tries the script: seconds, no data, no card
#
# DATA is a folder that `unlearn train --data` takes for CIFAR-10: the whole set, or the small one, whose figures
# are then no figures of the paper's. OUT gets every model, every result as JSON with the words that made it, and
# table.md: UA, RA, TA, MIA-efficacy, the mean gap to retraining, and RTE in seconds. What is there already is taken
# as it is: an interrupted run is begun again with the same words, and goes on behind the last whole command.
# Needs Python 3. Ends with 0, with 1 if a command failed, with 2 for wrong words or where there is no card.
set -euo pipefail

if (($# != 2)); then
    echo "usage: [UNLEARN=PROGRAM] [DEVICE=cuda:0] [SEEDS=1] $0 DATA OUT" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$1
out=$2
program=${UNLEARN:-$here/../target/release/unlearn}
device=${DEVICE:-cuda:0}
if [[ ! -x $program ]]; then
    echo "$program is no program: give UNLEARN=PATH" >&2
    exit 2
fi
if [[ $device == cuda* ]]; then
    number=${device#cuda}
    number=${number#:}
    number=${number%%/*}
    # Said before an hour is spent: a card that is not there.
    python3 - "$here" "${number:-0}" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import gpu
found, why = gpu.card(int(sys.argv[2]))
if found is None:
    print(f"no card: {why}. Nothing was measured", file=sys.stderr)
    sys.exit(2)
print(f"{found['name']}, compute capability {found['capability']}, driver {found['driver'] or 'unknown'}, "
      f"CUDA {found['driver_cuda']}")
PYTHON
fi
mkdir -p "$out"
code=0
python3 "$here/forgetting.py" "${WHAT:-paper}" --program "$program" --data "$data" --device "$device" --out "$out" \
    --seeds "${SEEDS:-1}" --methods "${METHODS:-fine-tune,l1-sparse}" >"$out/table.md.part" || code=1
if ((code == 0)); then
    mv "$out/table.md.part" "$out/table.md"
    cat "$out/table.md"
else
    rm -f "$out/table.md.part"
    echo "FAILED: what was finished lies in $out; the same words go on from there" >&2
fi
exit "$code"
