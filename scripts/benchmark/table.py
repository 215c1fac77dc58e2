"""Tables of the measurements of scripts.benchmark."""

from collections.abc import Iterable
from typing import Any

from adapters_jax.analysis import tables as tables_lib

Row = dict[str, str]

# {part: scope of the timing on each side}, saved and printed with the numbers.
TIMED = {
    'gemm': 'the best of the matrix products of a step at batch 32: float32 '
            '(jnp `a @ b` jitted, torch `linear`), and bfloat16 operands (here '
            'with float32 results, torch with bfloat16 results)',
    'step': 'training seconds: forward, backward, clip, AdamW, until the loss '
            'is read; batch 32 of random words without padding, dropout on. '
            'Fixed shapes, program compiled before. A turn is the mean of '
            'three steps in a row, after one that does not count. Peer: fused '
            'AdamW, sdpa; float32 and autocast to bfloat16',
    'epoch': 'training seconds: making the batches and the steps of one epoch '
             'of real sentences, batch 32; no evaluation, all compiled before. '
             'Ours: length buckets. Peer: random batches padded to their '
             'longest (dynamic), and to 128, where the median step of one in '
             'each turn stands for all since their shape is the same',
    'inference': 'tokens of dev sentences to logits in numpy, batches made; '
                 'ours in length buckets; peer sorted by length and padded to '
                 'the longest of each batch, or in the order of the data',
    'start': 'whole process: from starting Python to the loss of the first '
             'step at 32 x 32, with imports, data, tokens and weights; cold: '
             'nothing compiled before, warm: compiled by an earlier process',
    'phases': 'seconds of an epoch of training and one evaluation on dev, a '
              'new process, minima; cold: nothing compiled before, warm: all '
              'compiled before. `programs` is what the first call of each '
              'length takes beyond later ones',
    'process': 'whole process: an epoch, evaluation on dev and saving, from '
               'starting Python to its end. Ours: experiments.glue, programs '
               'compiled by an earlier process (`first`: by this one). Peer: '
               'the same work by scripts.benchmark.peer',
    'memory': 'peak resident bytes of a process that loads the data and trains '
              'three steps at 32 x 128, compiling included; bytes of the '
              "optimizer's moments; bytes of the saved adapter with its head "
              '(ours holds the trained layer norms too, the peer leaves them '
              'out)',
}
# Columns of the sides.
_NAMES = {
    'ours': 'ours', 'ours_bfloat16': 'ours, bfloat16 products',
    'peer': 'peer', 'peer_bfloat16': 'peer, autocast',
    'peer_unsorted': 'peer, unsorted'}


def _ms(column: dict[str, float]) -> str:
  """Returns e.g. '144 (150)': the minimum and the median in milliseconds."""
  return f'{1e3 * column["min"]:.0f} ({1e3 * column["median"]:.0f})'


def ratio_of(row: dict[str, Any], side: str, statistic: str) -> float:
  """Returns the time of the best peer over that of a side.

  Args:
    row: Result of `sides.compare`.
    side: Name of the side.
    statistic: 'min' or 'median' of the turns.
  """
  peer, own = (row['sides'][name]['seconds'][statistic]
               for name in (row['best_peer'], side))
  return peer / own


def _ratios(row: dict[str, Any]) -> Row:
  """Returns the columns of ratios: of minima, of medians, lowest of a turn."""
  return {f'best peer / {_NAMES[side]}, medians (lowest)':
          f'{ratios["of_minima"]:.2f}x, '
          f'{ratio_of(row, side, "median"):.2f}x ({ratios["min"]:.2f}x)'
          for side, ratios in row['ratios'].items()}


def gemm_rows(found: dict[str, Any]) -> list[Row]:
  """Returns a row of GFLOP/s for each shape, and one for the peaks."""
  return [{'task': name, **{f'{_NAMES[side]}, GFLOP/s': f'{value:.0f}'
                            for side, value in row.items()}}
          for name, row in (*found['gemm']['shapes'].items(),
                            ('peak', found['gemm']['peak']))]


def step_rows(found: dict[str, Any]) -> list[Row]:
  """Returns a row for each length, of adapters and of full fine-tuning."""
  rows = []
  for tune in ('adapters', 'full'):
    for length, row in found['step'][tune]['lengths'].items():
      rows.append({
          'task': f'{tune}, 32 x {length}',
          **{f'{_NAMES[side]}, ms': _ms(times['seconds'])
             for side, times in row['sides'].items()},
          **_ratios(row),
          'CPU s': ' / '.join(f'{times["cpu_seconds"]["min"]:.2f}'
                              for times in row['sides'].values())})
  return rows


def _share(found: dict[str, Any], row: dict[str, Any], side: str) -> str:
  """Returns the necessary work of an epoch as a share of a side's peak."""
  if 'gemm' not in found:
    return '-'  # The peak has not been measured.
  peak = 1e9 * found['gemm']['peak'][side]
  work = row['facts'][side]['necessary_flops']
  return f'{100 * work / row["sides"][side]["seconds"] / peak:.0f} %'


def epoch_rows(found: dict[str, Any]) -> list[Row]:
  """Returns a row for each task and side, and kind of padding."""
  rows = []
  for task, row in found['epoch']['tasks'].items():
    for name, times in row['sides'].items():
      side = name.removesuffix('_to_128')
      padded = name != side
      facts, ratio = row['facts'][side], row['ratios'].get(side)
      mark = ' *' if padded else ''
      kind = (', buckets' if ratio else ', to 128' if padded else ', dynamic')
      tokens = facts['padded_tokens_to_128' if padded else 'padded_tokens']
      rows.append({
          'task': task, 'method': _NAMES[side] + kind, 'tokens': f'{tokens:,}',
          'training s': f'{times["seconds"]:.1f}{mark}',
          'CPU s': f'{times["cpu_seconds"]:.1f}{mark}',
          'faster than the best peer':
              f'{ratio["total"]:.2f}x' if ratio else '',
          'by slice, median (lowest)':
              f'{ratio["slice_median"]:.2f}x ({ratio["slice_min"]:.2f}x)'
              if ratio else '',
          'of its GEMM peak': _share(found, row, side) if ratio else ''})
  return rows


def inference_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of examples per second at each batch size."""
  return [{
      'task': f'batch {size}',
      **{f'{_NAMES[side]}, examples/s':
         f'{row["examples"] / times["seconds"]["min"]:.0f}'
         for side, times in row['sides'].items()}, **_ratios(row)}
          for size, row in found['inference']['sizes'].items()]


def start_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of seconds to the loss of the first step."""
  return [{'task': name, 'seconds, lowest': f'{row["min"]:.1f}',
           'median': f'{row["median"]:.1f}'}
          for name, row in found['start']['seconds'].items()]


def phase_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of seconds of each phase, and their sum."""
  rows = []
  for side, states in found['phases']['sides'].items():
    for state, spent in states.items():
      least = spent['steps'] + spent['evaluation']
      rows.append({
          'task': f'{_NAMES[side]}, {state}',
          **{name: f'{seconds:.1f}' for name, seconds in spent.items()},
          'all / (steps + evaluation)': f'{sum(spent.values()) / least:.2f}'})
  return rows


def process_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of whole processes."""
  row = found['process']
  return [{
      'task': f'{row["task"]}, {_NAMES[side]}',
      'seconds, lowest': f'{times["seconds"]["min"]:.1f}',
      'median': f'{times["seconds"]["median"]:.1f}',
      'CPU s': f'{times["cpu_seconds"]["min"]:.1f}',
      'first': f'{row["first_seconds"][side]:.1f}',
      'faster than the best peer':
          f'{row["ratios"][side]["of_minima"]:.2f}x'
          if side in row['ratios'] else ''}
          for side, times in row['sides'].items()]


def memory_rows(found: dict[str, Any]) -> list[Row]:
  """Returns rows of megabytes of processes, optimizers and files."""
  return [{'task': f'{tune}, {_NAMES[side]}',
           **{name.removesuffix('_bytes') + ', MB': f'{value / 1e6:,.1f}'
              for name, value in row.items()}}
          for tune, sides in found['memory']['sides'].items()
          for side, row in sides.items()]


_ROWS = {'gemm': gemm_rows, 'step': step_rows, 'epoch': epoch_rows,
         'inference': inference_rows, 'start': start_rows,
         'phases': phase_rows, 'process': process_rows, 'memory': memory_rows}


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
