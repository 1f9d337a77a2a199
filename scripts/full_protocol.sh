#!/usr/bin/env bash
# Trains RGB and RGBtD by the full protocol of the ICRA 2019 paper, and measures both: simulation of the city, triplets
# with depth maps, training, recall.  Meant for a machine with a GPU and 16 cores.  Each step continues where it was
# stopped, so that the same command resumes all of it.
#
#   scripts/full_protocol.sh FOLDER
#
# FOLDER gets the data and the runs, about 10 GB.  Variables, with their defaults:
#   WEIGHTS=       initial weights of AlexNet; empty: ImageNet's, which torchvision downloads
#   SEEDS="0"      one run of each system for each seed
#   POOLING=mac    or netvlad
#   DEVICE=auto    cpu, cuda, ...
#   PROTOCOL=full  or reduced, or a YAML file
#   LENGTH=2110    length of the test area's street in metres; that of the paper
#   CHOICE="--negative-distance 200"   options of `scene-geo-loc triplets`
#   WHITEN=256     length that descriptors are PCA-whitened to for further rows; empty: no such rows
#   PAGE=          Markdown page to write the results to, with pictures beside it
set -euo pipefail

if [ $# != 1 ]; then
  echo "usage: $0 FOLDER (variables: see the head of this file)" >&2
  exit 2
fi
folder=$1
city=$folder/city
triplets=$folder/triplets.parquet
weights=()
if [ -n "${WEIGHTS:-}" ]; then weights=(--weights "$WEIGHTS"); fi
whiten=()
if [ -n "${WHITEN-256}" ]; then whiten=(--whiten "${WHITEN-256}"); fi
page=()
if [ -n "${PAGE:-}" ]; then page=(--write "$PAGE"); fi
read -ra choice <<< "${CHOICE:---negative-distance 200}"
mkdir -p "$folder"

scene-geo-loc simulate "$city" --layout robotcar --length "${LENGTH:-2110}"
if [ ! -e "$triplets" ]; then
  scene-geo-loc triplets "$city" "$triplets" --make-depth "${choice[@]}"
fi
for seed in ${SEEDS:-0}; do
  for descriptor in rgb rgbtd; do
    name=${descriptor}_alexnet_${POOLING:-mac}
    scene-geo-loc train descriptor "$triplets" "$folder/runs/${name}_$seed" --config "$name" \
      --protocol "${PROTOCOL:-full}" --seed "$seed" --device "${DEVICE:-auto}" "${weights[@]}"
  done
done
scene-geo-loc benchmark descriptors "$city" --runs "$folder/runs" --cache "$folder/cache" \
  --json "$folder/recall.json" "${whiten[@]}" "${page[@]}"
