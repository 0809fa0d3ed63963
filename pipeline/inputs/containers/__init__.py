"""What bytes are: kinds of files, TFRecord shards, gzip, `tf.train.Example`."""
