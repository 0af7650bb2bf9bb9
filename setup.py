"""Lists the packages: the stages lie at the repository's root and are installed inside neurofm."""

from setuptools import find_packages, setup

STAGES = ("preprocessing", "pretrain", "downstream")

inside = [f"neurofm.{stage}" for stage in STAGES]
core = find_packages(include=["neurofm", "neurofm.*"], exclude=[f"{name}*" for name in inside])
stages = [f"neurofm.{name}" for name in find_packages(include=[f"{stage}*" for stage in STAGES])]
setup(packages=core + stages)
