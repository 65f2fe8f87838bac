#!/usr/bin/env bash
# The rows of the published tables: networks of the zoo with their published weights on VOC 2012,
# fp32, fp16 and int8 under both protocols.
#
#     bash recipes/published.sh [MODEL...]     (default: all twelve)
#
# Needs ./VOCdevkit and ./checkpoints (the README says where they come from); torchvision downloads
# its own weights. Writes runs/published/<model>/ and the table runs/published/README.md.
set -euo pipefail
out=runs/published
if [ $# -eq 0 ]; then
    names='import json, sys; print(*(row["model"] for row in json.load(sys.stdin)))'
    # shellcheck disable=SC2046  # names have no spaces
    set -- $(segport models --json | python3 -c "$names")
fi
for model in "$@"; do
    weights=$PWD/checkpoints/best_${model}_voc_os16.pth
    case $model in torchvision/*) weights=default ;; esac
    folder=$out/${model//\//-}
    mkdir -p "$folder"
    cat >"$folder/recipe.toml" <<RECIPE
name = "${model//\//-}"

[model]
name = "$model"
weights = "$weights"
size = [513, 513]

[data]
calibration = "$PWD/VOCdevkit:train"
samples = 64
validation = "$PWD/VOCdevkit:val"

[[artifact]]
precision = "fp16"

[[artifact]]
precision = "int8"

[validate]
protocols = ["center-crop", "squash"]
RECIPE
    segport run "$folder/recipe.toml" -o "$folder"
done
segport index "$out"
