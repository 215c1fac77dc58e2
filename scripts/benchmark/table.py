"""Tables of the measurements of scripts.benchmark."""

from collections.abc import Iterable
from typing import Any

from adapters_jax.analysis import tables as tables_lib

Row = dict[str, str]

# {part: scope of the timing on each side}, saved and printed with the numbers.
TIMED = {
    'gemm': 'the best of float32 matrix products of a step at batch 32: '
            'jnp `a @ b` jitted; torch `linear`',
    'step': 'training seconds: forward, backward, clip, AdamW, until the loss '
            'is read; batch 32 of random words without padding, dropout on. '
            'Fixed shapes, program compiled before. A turn is the mean of '
            'three steps in a row, after one that does not count',
    'epoch': 'training seconds: making the batches and the steps of one epoch '
             'of real sentences, batch 32; no evaluation. Ours: length '
             'buckets. Peer: random batches padded to their longest (dynamic), '
             'and to 128, where the median step of one in each turn stands for '
             'all since their shape is the same. Whole process: from starting '
             'Python, with imports, data, weights and, here, compiling every '
             'bucket (nothing compiled before; `warm`: all compiled before)',
    'inference': 'tokens of dev sentences to logits in numpy, batches made; '
                 'ours in length buckets; peer padded to the longest of each '
                 'batch, in the order of the data or sorted by length',
    'start': 'whole process: from starting Python to the loss of the first '
             'step at 32 x 32, with imports, data, tokens and weights; cold: '
             'nothing compiled before, warm: compiled by an earlier process',
    'memory': 'peak resident bytes of a process that loads the data and trains '
              'three steps at 32 x 128, compiling included; bytes of the '
              "optimizer's moments; bytes of the saved adapter with its head "
              '(ours holds the trained layer norms too, the peer leaves them '
              'out)',
}


def _ms(column: dict[str, float]) -> str:
  """Returns e.g. '144 (150)': the minimum and the median in milliseconds."""
  return f'{1e3 * column["min"]:.0f} ({1e3 * column["median"]:.0f})'


def _ratios(row: dict[str, Any]) -> Row:
  """Returns the columns of ratios, peer / ours."""
  return {'of minima': f'{row["ratio_of_minima"]:.2f}x',
          'median ratio': f'{row["ratio_median"]:.2f}x',
          'lowest ratio': f'{row["ratio_min"]:.2f}x'}


def gemm_rows(found: dict[str, Any]) -> list[Row]:
  """Returns a row of GFLOP/s for each shape, and one for the peaks."""
  return [{'task': name, 'ours, GFLOP/s': f'{row["ours"]:.0f}',
           'peer, GFLOP/s': f'{row["peer"]:.0f}'}
          for name, row in (*found['gemm']['shapes'].items(),
                            ('peak', found['gemm']['peak']))]


def step_rows(found: dict[str, Any]) -> list[Row]:
  """Returns a row for each length, of adapters and of full fine-tuning."""
  rows = []
  for tune in ('adapters', 'full'):
    for length, row in found['step'][tune]['lengths'].items():
      rows.append({
          'task': f'{tune}, 32 x {length}',
          'ours, ms': _ms(row['ours_seconds']),
          'peer, ms': _ms(row['peer_seconds']), **_ratios(row),
          'CPU s, ours': f'{row["ours_cpu_seconds"]["median"]:.2f}',
          'CPU s, peer': f'{row["peer_cpu_seconds"]["median"]:.2f}'})
  return rows


def _share(found: dict[str, Any], row: dict[str, Any], side: str) -> str:
  """Returns the necessary work of an epoch as a share of a side's peak."""
  if 'gemm' not in found:
    return '-'  # The peak has not been measured.
  peak = 1e9 * found['gemm']['peak'][side]
  # Our work and time, against the peak of either side.
  share = row['ours']['necessary_flops'] / row['ours']['seconds'] / peak
  return f'{100 * share:.0f} %'


def epoch_rows(found: dict[str, Any]) -> list[Row]:
  """Returns a row for each task and kind of padding."""
  rows = []
  for task, row in found['epoch']['tasks'].items():
    starts = row['start_seconds']
    for side, name, start in (
        ('ours', 'ours, buckets', f'{starts["ours"]:.0f} '
         f'({starts["ours_warm"]:.0f} warm)'),
        ('peer', 'peer, dynamic', f'{starts["peer"]:.0f}'),
        ('to_128', 'peer, to 128', f'{starts["peer"]:.0f}')):
      # None for ours, which is the denominator.
      ratios = row['ratios'].get(side)
      tokens = row['peer']['padded_tokens_to_128'] if side == 'to_128' else (
          row[side]['padded_tokens'])
      extrapolated = ' *' if side == 'to_128' else ''
      rows.append({
          'task': task, 'method': name, 'tokens': f'{tokens:,}',
          'training s': f'{row[side]["seconds"]:.1f}{extrapolated}',
          'CPU s': f'{row[side]["cpu_seconds"]:.1f}{extrapolated}',
          'start s': start,
          'ours is faster': f'{ratios["total"]:.2f}x' if ratios else '',
          'by slice, median (lowest)':
              f'{ratios["slice_median"]:.2f}x ({ratios["slice_min"]:.2f}x)'
              if ratios else '',
          'of GEMM peak, ours (peer\'s)':
              '' if ratios else
              f'{_share(found, row, "ours")} ({_share(found, row, "peer")})'})
  return rows


def inference_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of examples per second at each batch size."""
  rows = []
  for size, row in found['inference']['sizes'].items():
    for side, name in (('peer', 'order of the data'),
                       ('peer_sorted', 'sorted by length')):
      pair = row[side]
      # By the fastest turn.
      speeds = {name: row['examples'] / pair[f'{name}_seconds']['min']
                for name in ('ours', 'peer')}
      rows.append({
          'task': f'batch {size}', 'method': f'peer: {name}',
          'ours, examples/s': f'{speeds["ours"]:.0f}',
          'peer, examples/s': f'{speeds["peer"]:.0f}', **_ratios(pair)})
  return rows


def start_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of seconds to the loss of the first step."""
  return [{'task': name, 'seconds, lowest': f'{row["min"]:.1f}',
           'median': f'{row["median"]:.1f}'}
          for name, row in found['start']['seconds'].items()]


def memory_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of megabytes of processes, optimizers and files."""
  return [{'task': f'{tune}, {side}',
           **{name.removesuffix('_bytes') + ', MB': f'{value / 1e6:,.1f}'
              for name, value in row.items()}}
          for tune, sides in found['memory']['sides'].items()
          for side, row in sides.items()]


_ROWS = {'gemm': gemm_rows, 'step': step_rows, 'epoch': epoch_rows,
         'inference': inference_rows, 'start': start_rows,
         'memory': memory_rows}


def tables(found: dict[str, Any], parts: Iterable[str] | None = None) -> str:
  """Returns a Markdown table of each part, and the scope of its timing.

  Args:
    found: JSON of scripts.benchmark.
    parts: Parts to show; all that were measured when None.
  """
  texts = []
  for part in parts or [name for name in _ROWS if name in found]:
    # `markdown` aligns 'task' to the left; then the part becomes the title.
    table = tables_lib.markdown(_ROWS[part](found)).replace('task', part, 1)
    note = ('\n\n\\* extrapolated from steps of the same shape.'
            if part == 'epoch' else '')
    texts.append(f'{table}{note}\n\nTimed: {found[part]["timed"]}.')
  return '\n\n'.join(texts)
