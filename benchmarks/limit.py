"""The limit: TensorFlow's forward pass alone, compiled, at its best batch size, on planes that lie in memory.

    python -m benchmarks.limit MODEL SECONDS

Prints the rates by batch size as JSON.
"""

import json
import sys
import time
from typing import Any

from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

tf = start_tensorflow()

import keras  # noqa: E402

BATCHES = (1, 4, 8, 16, 32, 64)


def main(path: str, seconds: float) -> None:
    model = keras.models.load_model(path, compile=False)
    rates: dict[int, float] = {}
    for batch in BATCHES:
        # Of large models a few batches take all the time there is, and larger ones are no faster.
        if not rates or batch / max(rates.values()) < seconds / len(BATCHES):
            rates[batch] = rate(model, batch, seconds / len(BATCHES))
    print(json.dumps(rates))


def rate(model: Any, batch: int, seconds: float) -> float:
    """Images a second, compiling and the first two calls left out."""
    shape = (batch, *model.input_shape[1:])
    compiled = tf.function(lambda planes: model(planes, training=False), autograph=False)
    call = compiled.get_concrete_function(tf.TensorSpec(shape))
    planes = tf.random.stateless_uniform(shape, (0, 0))
    for _ in range(2):
        call(planes)
    start, images = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds or not images:
        call(planes)[0].numpy()
        images += batch
    return images / spent


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
