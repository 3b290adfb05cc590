#!/bin/bash
# Train on a workstation with a graphics card, from a study on this computer. singlestrip is
# installed there; the study and its scans lie in one folder, and are kept side by side there, too.
#
#   train_over_ssh.sh gpu-box project my_study        (project/my_study, project/scans, ...)
#
# What is trained comes back also when the connection was lost: run it again, and it goes on.
set -euo pipefail
host=$1 project=${2%/} study=$3
there=singlestrip_$(basename "$project")
rsync -a "$project/" "$host:$there/"
ssh "$host" "singlestrip run '$there/$study' --device cuda"
rsync -a "$host:$there/$study/" "$project/$study/"
