"""Scores of the paper (Houlsby et al., 2019), as references in figures.

Bases and data differ: BERT-LARGE on GLUE's test sets (table 1), BERT-BASE on
MNLI's validation set (section 3.4) and on the additional tasks (table 3). They
are no targets for other bases.
"""

# {task: (metric, source, {method: (trained parameters in %, score)})}
_LARGE, _BASE = 'BERT-LARGE, test', 'BERT-BASE, test'
SCORES: dict[str, tuple[str, str, dict[str, tuple[float, float]]]] = {
    'cola': ('matthews', _LARGE, {
        'full fine-tuning': (100, 60.5), 'adapters': (2.1, 56.9)}),
    'sst2': ('accuracy', _LARGE, {
        'full fine-tuning': (100, 94.9), 'adapters': (2.1, 94.2)}),
    'mrpc': ('f1', _LARGE, {
        'full fine-tuning': (100, 89.3), 'adapters': (2.1, 89.6)}),
    'stsb': ('spearman', _LARGE, {
        'full fine-tuning': (100, 87.6), 'adapters': (2.1, 87.3)}),
    'qqp': ('f1', _LARGE, {
        'full fine-tuning': (100, 72.1), 'adapters': (2.1, 71.8)}),
    'qnli': ('accuracy', _LARGE, {
        'full fine-tuning': (100, 91.1), 'adapters': (2.1, 91.4)}),
    'rte': ('accuracy', _LARGE, {
        'full fine-tuning': (100, 70.1), 'adapters': (2.1, 68.8)}),
    # "about 9 M" and "about 2 M" of 110 M parameters.
    'mnli': ('accuracy', 'BERT-BASE, dev', {
        'full fine-tuning': (100, 84.4), 'adapters': (1.8, 83.7),
        'top layers': (8.2, 77.8)}),
    'corporate_messaging': ('accuracy', _BASE, {
        'full fine-tuning': (100, 92.5), 'adapters': (1.14, 92.9)}),
    'sms_spam': ('accuracy', _BASE, {
        'full fine-tuning': (100, 99.3), 'adapters': (1.14, 95.1)}),
    'disasters': ('accuracy', _BASE, {
        'full fine-tuning': (100, 85.3), 'adapters': (1.14, 84.1)}),
}


def scores(
    task: str, metric: str
) -> tuple[str, dict[str, tuple[float, float]]]:
  """Returns (base and split, {method: (trained in %, score)}), or ('', {}).

  Args:
    task: Name of the task.
    metric: Metric of the scores to compare; the paper's must be the same.
  """
  known = SCORES.get(task)
  if known is None or known[0] != metric:
    return '', {}
  return known[1:]
