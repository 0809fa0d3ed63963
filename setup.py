"""Packaging of maskbeam; also what Beam's `--setup_file` ships to remote workers."""

from setuptools import find_packages, setup

# Stated here and not read from requirements.txt: the source distribution that Beam builds for its workers
# holds only the packages, so a file that is read at build time would be missing there.
RUNTIME = [
    "apache-beam>=2.77,<3",
    "google-cloud-storage>=3.1",
    "google-crc32c>=1.6",
    "keras>=3.15.1",
    "numpy>=2.0,<2.5",
    "pillow>=12.3,<13",
    "pyyaml>=6",
    "tensorflow>=2.21,<2.22",
    "tf_keras>=2.21,<2.22",
    "zlib-ng>=1.0",
]


setup(
    name="maskbeam",
    version="0.1.0",
    description="Batch semantic segmentation with Keras models on Apache Beam",
    python_requires=">=3.11",
    packages=find_packages(include=["maskbeam*"]),
    package_data={"maskbeam": ["py.typed"], "maskbeam.pipeline.commands.demo": ["sample_model/*"]},
    install_requires=RUNTIME,
    extras_require={
        # simplejpeg, because otherwise TensorFlow is started for its decoder alone.
        "openvino": ["openvino>=2026.1", "scipy", "simplejpeg>=1.9"],
        "parquet": ["pyarrow>=18"],
        "kerashub": ["keras-hub"],
    },
    entry_points={"console_scripts": ["maskbeam = maskbeam.pipeline.main:main"]},
)
