"""Inputs on which this BERT and that of transformers must agree."""

import numpy as np

from adapters_jax.data import batching
from adapters_jax.data import bucketing
from adapters_jax.data import examples as examples_lib
from adapters_jax.data import tokenization
from tests import tiny

# 'minilm' reads the real checkpoint; 'base' has BERT-base's shape and random
# weights, which both sides draw from the same seed.
MODELS = ('minilm', 'base')
BASE = dict(dim=768, layers=12, ffn_dim=3072, vocab_size=30522, positions=512)

SENTENCES = (
    ('The gorgeously elaborate continuation of a very long story.',),
    ('Dull.',),
    ('Is this film any good?', 'No: it is overlong, and its plot is thin.'),
)

LONG = ' '.join(f'word{i}' for i in range(400))
# (text, second text or None, longest length)
NASTY = (
    ('', None, 128),
    (' \t\n ', None, 128),
    ('Café naïve Ångström Œuvre ﬁn', None, 128),
    ('cafe\u0301 e\u0301\u0301 \u0130stanbul', None, 128),
    ('中文字符 mixed 日本語 한국어', None, 128),
    ('control\x00\x01\x7f chars\u200b\u200d and\u00a0spaces\u3000', None, 128),
    ('\ufffd replacement \ufeff mark', None, 128),
    ('a' * 101 + ' ' + 'b' * 100, None, 128),
    ("don't [CLS] stop [SEP] me [MASK] now", None, 128),
    ('C++ is 100% #1 ... ??? <b>&amp;</b> "quotes" \u201ccurly\u201d',
     None, 128),
    ('emoji 😀 👩‍👩‍👧 flag 🇩🇪', None, 128),
    ('Привет мир العربية עברית हिन्दी', None, 128),
    (LONG, None, 128),
    (LONG, None, 512),
    ('short', LONG, 64),
    (LONG, 'short', 64),
    (LONG, LONG, 65),
    (LONG, LONG, 64),
    ('one two three', 'four five six', 7),
    ('', 'second only', 16),
    ('first only', '', 16),
)


def sample(array: np.ndarray) -> np.ndarray:
  """Returns every 16th feature: fixtures stay small and see every token."""
  return np.asarray(array, np.float32)[..., ::16]


def make_inputs(name: str, folder: str) -> dict[str, np.ndarray]:
  """Returns tokens, segments and mask [3, length] for a model of MODELS.

  Args:
    name: 'minilm' gets real sentences, 'base' random tokens.
    folder: Of MiniLM.
  """
  if name == 'minilm':
    tokens, segments = tokenization.encode(
        tokenization.load(folder), SENTENCES[:2], 32)
    more = tokenization.encode(tokenization.load(folder), SENTENCES[2:], 32)
    tokens, segments = [*tokens, *more[0]], [*segments, *more[1]]
  else:
    rng = np.random.default_rng(1)
    tokens = [rng.integers(1000, 30000, n, np.int32) for n in (24, 3, 17)]
    segments = [(np.arange(len(t)) >= 8).astype(np.int32) for t in tokens]
  examples = examples_lib.Examples(tokens, segments, np.zeros(3, np.int32))
  plan = bucketing.Plan(np.arange(3), int(examples.lengths.max()) + 2)
  return batching.make_batch(examples, plan, 3)


def base_tensors() -> dict[str, np.ndarray]:
  """Returns random tensors of BERT-base's shape."""
  return tiny.random_tensors(tiny.hugging_face_shapes(**BASE))


def run_transformers(
    name: str, folder: str, batch: dict[str, np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
  """Returns (hidden states, pooled output) of transformers' BertModel."""
  import torch
  import transformers
  if name == 'base':
    model = transformers.BertModel(transformers.BertConfig())
    missing = model.load_state_dict(
        {k: torch.from_numpy(v) for k, v in base_tensors().items()},
        strict=False)
    assert not missing.missing_keys, missing
  else:
    model = transformers.BertModel.from_pretrained(folder)
  model.eval()
  with torch.no_grad():
    out = model(
        input_ids=torch.from_numpy(batch['tokens']).long(),
        token_type_ids=torch.from_numpy(batch['segments']).long(),
        attention_mask=torch.from_numpy(batch['mask']).long(),
        output_hidden_states=True)
  return [h.numpy() for h in out.hidden_states], out.pooler_output.numpy()


def tokenize_with_transformers(folder: str) -> list[dict[str, list[int]]]:
  """Returns ids and segments of NASTY by transformers' own BertTokenizer.

  The class in plain Python, which cuts as BERT's own code does.
  """
  import transformers
  tokenizer = transformers.BertTokenizer(
      vocab_file=f'{folder}/vocab.txt', do_lower_case=True)
  rows = []
  for first, second, longest in NASTY:
    encoding = tokenizer(
        first, second, truncation='longest_first', max_length=longest)
    rows.append({'ids': encoding['input_ids'],
                 'segments': encoding['token_type_ids']})
  return rows
