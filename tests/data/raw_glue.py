"""Tiny raw GLUE folders in the layouts that GLUE and its tasks come in."""

import os

QUOTE = 'He said " stop'  # A lone quote, which csv's defaults would swallow.


def _write(folder: str, name: str, lines: list[tuple[object, ...]]) -> None:
  os.makedirs(folder, exist_ok=True)
  with open(os.path.join(folder, name), 'w', encoding='utf-8') as file:
    for line in lines:
      file.write('\t'.join(map(str, line)) + '\n')


def _write_splits(
    folder: str, header: tuple[str, ...], texts: int, labels: tuple[object, ...]
) -> None:
  """Writes train (4 rows), dev (3) and test (2, no label) with a header."""
  for split, count in (('train', 4), ('dev', 3), ('test', 2)):
    rows = []
    for n in range(count):
      row = [n, *(f'{QUOTE} {split} {n} {t}' for t in range(texts))]
      rows.append((*row, labels[n % len(labels)]) if split != 'test' else row)
    _write(folder, f'{split}.tsv',
           [header if split != 'test' else header[:-1], *rows])


def write_mrpc(raw: str, ids: bool, rows: int = 11) -> None:
  """Writes Microsoft's two files, with or without GLUE's list of dev ids."""
  folder = os.path.join(raw, 'MRPC')
  header = ('Quality', '#1 ID', '#2 ID', '#1 String', '#2 String')
  lines = [(n % 2, 10 + n, 50 + n, f'{QUOTE} {n}', f'second {n}')
           for n in range(rows)]
  _write(folder, 'msr_paraphrase_train.txt',
         [('\ufeff' + header[0], *header[1:]), *lines])
  _write(folder, 'msr_paraphrase_test.txt',
         [('\ufeff' + header[0], *header[1:]), *lines[:3]])
  if ids:
    _write(folder, 'dev_ids.tsv', [(11, 51), (14, 54)])


def write_stsb(raw: str, own: bool) -> None:
  """Writes STS-B as GLUE's TSV, or as the benchmark's own sts-*.csv."""
  folder = os.path.join(raw, 'STS-B')
  if not own:
    _write_splits(folder, ('index', 'sentence1', 'sentence2', 'score'), 2,
                  ('2.500', '0.0', '5'))
    return
  for split, count in (('train', 4), ('dev', 3), ('test', 2)):
    _write(folder, f'sts-{split}.csv', [
        ('main-news', 'headlines', 2015, n, f'{n}.5', f'{QUOTE} {split} {n}',
         'second', 'source')[:8 - n % 2] for n in range(count)])


def write(raw: str) -> str:
  """Writes raw folders of all nine tasks and returns `raw`."""
  cola = os.path.join(raw, 'CoLA')
  for split, count in (('train', 4), ('dev', 3)):
    _write(cola, f'{split}.tsv', [
        ('gj04', n % 2, '*', f'{QUOTE} {split} {n}') for n in range(count)])
  _write(cola, 'test.tsv', [('index', 'sentence'), (0, 'one'), (1, 'two')])
  sst2 = os.path.join(raw, 'SST-2')
  for split, count in (('train', 4), ('dev', 3)):
    _write(sst2, f'{split}.tsv', [('sentence', 'label')] + [
        (f'{QUOTE} {split} {n}', n % 2) for n in range(count)])
  _write(sst2, 'test.tsv', [('index', 'sentence'), (0, 'one'), (1, 'two')])
  write_mrpc(raw, ids=True)
  _write_splits(os.path.join(raw, 'QQP'), (
      'id', 'question1', 'question2', 'is_duplicate'), 2, (0, 1))
  write_stsb(raw, own=False)
  mnli = os.path.join(raw, 'MNLI')
  header = ('index', 'sentence1', 'sentence2', 'gold_label')
  for split, count in (
      ('train', 4), ('dev_matched', 3), ('dev_mismatched', 2),
      ('test_matched', 2), ('test_mismatched', 3)):
    label = ('neutral',) * (not split.startswith('test'))
    _write(mnli, f'{split}.tsv', [header[:3 + len(label)]] + [
        (n, f'{QUOTE} {split} {n}', 'second', *label) for n in range(count)])
  nli = ('entailment', 'not_entailment')
  _write_splits(os.path.join(raw, 'QNLI'),
                ('index', 'question', 'sentence', 'label'), 2, nli)
  _write_splits(os.path.join(raw, 'RTE'),
                ('index', 'sentence1', 'sentence2', 'label'), 2, nli)
  _write_splits(os.path.join(raw, 'WNLI'),
                ('index', 'sentence1', 'sentence2', 'label'), 2, (0, 1))
  return raw
