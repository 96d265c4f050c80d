"""The build of Perdure; what it is stands in pyproject.toml."""

from setuptools import setup

setup()
