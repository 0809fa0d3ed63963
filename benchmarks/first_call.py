"""What nobody can avoid before the first mask: importing the engine, loading the model, and its first call.

python -m benchmarks.first_call MODEL tensorflow|openvino
"""

import sys
import time

import numpy as np


def main(path: str, engine: str) -> None:
    planes = np.zeros((2, 128, 128, 3), np.float32)
    if engine == "openvino":
        import openvino

        openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(planes)
        return
    from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow

    tf = start_tensorflow()
    import keras

    model = keras.models.load_model(path, compile=False)
    tf.function(lambda batch: model(batch, training=False), autograph=False)(tf.constant(planes)).numpy()


if __name__ == "__main__":
    main(*sys.argv[1:])
    print(time.time())
