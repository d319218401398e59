#!/bin/bash
# Trains on 4 GPUs, from the repository's root.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=$(pwd)

torchrun --nproc_per_node 4 \
    scripts/train.py \
    machine=demo \
    model=mapanything \
    dataset=opv2v_cyl_coop_ft \
    loss=opv2v_pose_loss \
    train_params=opv2v_cyl_coop
