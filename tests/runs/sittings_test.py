"""Notes on places where a run trained before its last one."""

import dataclasses

import pytest

from adapters_jax.runs import log as log_lib
from adapters_jax.runs import run
from adapters_jax.runs import sittings
from tests import tiny

PLACE = {'commit': 'a', 'jaxlib': '1', 'cpu': 'some', 'threads': 2}


def notes_of(monkeypatch, *steps_and_places):
  """Returns the notes of a run that sat down with these {fact: value}."""
  log = log_lib.Log([log_lib.RunLog()])
  for step, place in steps_and_places:
    monkeypatch.setattr(sittings, 'here', lambda place=place: PLACE | place)
    sittings.add(log, step)
  log = log_lib.Log.from_json(log.to_json())
  return sittings.notes(log.runs[0])


def test_no_note_of_one_place(monkeypatch):
  assert notes_of(monkeypatch, (0, {}), (4, {})) == []
  assert notes_of(monkeypatch) == []


def test_differences_from_the_last_place(monkeypatch):
  assert notes_of(
      monkeypatch, (0, {}), (1200, {'commit': 'b'}),
      (1500, {'commit': 'b', 'threads': 1, 'cores': 4}), (1600, {})) == [
          'steps 1,201 to 1,500 were computed with commit b instead of a',
          'steps 1,501 to 1,600 were computed with commit b instead of a, '
          'threads 1 instead of 2, cores 4 instead of none']


def test_no_note_of_a_place_without_steps(monkeypatch):
  assert notes_of(monkeypatch, (0, {'commit': 'b'}), (0, {})) == []


def test_states_of_earlier_versions(monkeypatch):
  assert notes_of(monkeypatch, (6, {})) == [
      'steps 1 to 6 were computed by an earlier version, which did not note '
      'the commit']


def test_a_run_that_has_ended_sits_nowhere(monkeypatch):
  monkeypatch.setattr(sittings, 'here', lambda: PLACE)
  log = log_lib.Log([log_lib.RunLog(stopped=4), log_lib.RunLog()])
  sittings.add(log, 0)
  assert [len(one.sittings) for one in log.runs] == [0, 1]


@pytest.mark.parametrize(('later', 'notes'), [
    ('one', []),
    ('two', ['steps 1 to 4 were computed with commit one instead of two'])])
def test_a_record_notes_another_commit_before_a_resume(
    checkpoint, own_files, tmp_path, monkeypatch, later, notes):
  config = tiny.run_config(checkpoint, own_files, str(tmp_path / 'work'))

  class Killed(BaseException):
    """Stands for a kill."""

  def kill():
    raise Killed

  monkeypatch.setattr(sittings, 'commit', lambda: 'one')
  with pytest.raises(Killed), tiny.at_step(5, kill):
    run.run(config, 'glue')
  monkeypatch.setattr(sittings, 'commit', lambda: later)
  record = run.run(dataclasses.replace(config, resume=True), 'glue')
  assert record.commit == later
  assert [note for note in record.notes if 'steps' in note] == notes
