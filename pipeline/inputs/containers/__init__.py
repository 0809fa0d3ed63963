"""Containers of images: kinds of files, TFRecord shards, gzip, `tf.train.Example`."""
