"""Installs the package; see README.md."""

import pathlib
import re

import setuptools

_HERE = pathlib.Path(__file__).parent


def _text(*parts: str) -> str:
  """Returns the text of a file, whatever the locale."""
  return _HERE.joinpath(*parts).read_text(encoding='utf-8')


_VERSION = re.search(
    r"__version__ = '(.+)'", _text('adapters_jax', '__init__.py')).group(1)

setuptools.setup(
    name='adapters_jax',
    version=_VERSION,
    description='Adapter-based transfer learning in JAX and Flax.',
    long_description=_text('README.md'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    # Not `experiments` and `scripts`: other projects have packages of the name.
    packages=setuptools.find_packages(include=['adapters_jax*']),
    package_data={'adapters_jax': ['py.typed', 'api/demo_page/*']},
    entry_points={'console_scripts': [
        'adapters-jax = adapters_jax.api.commands.program:main']},
    install_requires=[
        'absl-py',
        'array_record>=0.5',
        'filelock>=4.3',  # Replaces flock where a file system lacks it.
        'flax>=0.12',
        'huggingface_hub>=0.36',
        'importlib_resources',  # TFDS needs it without declaring it.
        'jax>=0.9',
        'numpy>=2.0',
        'optax>=0.2.6',
        'orbax-checkpoint>=0.11.32',  # Earlier ones lose random keys.
        'psutil',
        'pyarrow',
        'requests',
        'rich>=13.0',
        'safetensors>=0.4.5',
        'scikit-learn>=1.5',
        'scipy>=1.13',
        'tensorflow-datasets>=4.9.10',
        'tokenizers>=0.22',
        'tqdm',
    ],
    extras_require={
        # hypothesis finds tables that a reader of files gets wrong.
        'test': [
            'httpx2', 'hypothesis', 'prometheus_client', 'pytest',
            'pytest-xdist', 'starlette', 'tensorboardX', 'uvicorn'],
        'docs': ['mkdocs-material', 'mkdocstrings[python]'],
        'notebooks': [
            'ipykernel', 'jupyter_core', 'matplotlib', 'nbclient', 'nbformat',
            'pandas'],
        'bench': ['torch==2.13.0', 'adapters==1.3.0'],
        'demo': ['starlette', 'uvicorn'],
        # The demo's tests in Chromium, which the system provides.
        'browser': ['playwright'],
        'serve': ['prometheus_client', 'starlette', 'uvicorn'],
        'sweep': ['ray>=2.40'],
        'tpu': ['jax[tpu]'],
        'track': ['tensorboardX', 'wandb'],
        'tf1': ['tensorflow'],  # For scripts.convert_tf1_bert alone.
        'interop': [
            'torch', 'transformers>=4.50,<5', 'adapters==1.3.0',
            'peft==0.21.2', 'sentence-transformers>=5.4,<6', 'seqeval'],
    },
)
