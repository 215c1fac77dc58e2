"""Converts an adapter between this package's folders and other libraries'.

  python -m scripts.convert_adapter --from=WORKDIR --to=DIR --format=adapterhub
  python -m scripts.convert_adapter --from=DIR --to=OURS --checkpoint=BASE

The format of `--from` is detected; `--format` is that of `--to`: 'own' (the
default; `experiments.predict` reads it), 'adapterhub', 'peft', 'adapter_bert'
(a .npz of the authors' TensorFlow variables), 'sentence_transformers' (the
whole encoder) or 'transformers' (the whole model with its head).
`--push=OWNER/NAME` sends the result to the Hugging Face hub.
"""

from adapters_jax.api.commands import convert

if __name__ == '__main__':
  convert.start()
