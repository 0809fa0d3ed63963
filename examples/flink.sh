#!/bin/sh
# Segments what lies in a bucket on a Flink cluster: docs/cluster.md says what the cluster needs.
#
#   JOB_SERVER=maskbeam-job-server:8099 BUCKET=gs://my-bucket examples/flink.sh
#
# Each TaskManager has a pool of Python workers beside it, at localhost:50000 (deploy/kubernetes/flink.yaml). When the
# command ends before the job does, or anything dies, the same command again does what is missing.
set -eu

maskbeam run \
    --input "$BUCKET/scenes/*.tfrecord" \
    --model "$BUCKET/unet.keras" \
    --classes "$BUCKET/labels.csv" \
    --products color,overlay \
    --output "$BUCKET/masks" \
    --runner=PortableRunner \
    --job_endpoint="$JOB_SERVER" \
    --parallelism=16 \
    --environment_type=EXTERNAL \
    --environment_config=localhost:50000
