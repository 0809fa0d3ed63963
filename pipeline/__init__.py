"""The part of maskbeam that touches the world: storage, Keras, flags, the terminal."""
