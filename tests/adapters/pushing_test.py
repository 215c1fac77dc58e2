"""Adapters sent to a hub on this machine's loopback, and read back."""

import base64
import dataclasses
import json
import os
import pathlib
import shutil

from huggingface_hub import constants
import pytest

import adapters_jax as aj
from adapters_jax.adapters import card
from adapters_jax.api.commands import convert
from adapters_jax.downloads import hub_checkpoints
from tests.adapters import bank_test
from tests.downloads import hub_test

local_hub = hub_test.local_hub


class _Writable(hub_test._Hub):
  """A hub that takes commits of small files, if the token is right."""
  written: dict[str, list[str]] = {}
  created: list[dict] = []

  def do_GET(self):
    if not self.path.startswith('/api/models/'):
      super().do_GET()
    elif '/tree/' in self.path:
      folder = self.folders[self.path.split('/api/models/')[1].split(
          '/tree/')[0]]
      self._send(200, [
          {'type': 'file', 'path': path.relative_to(folder).as_posix(),
           'size': path.stat().st_size, 'oid': '0'}
          for path in pathlib.Path(folder).rglob('*') if path.is_file()])
    elif self._allowed():
      self._send(200, {'id': 'me/film', 'sha': hub_test.COMMIT})
    else:
      self._send(401, {'error': 'Invalid credentials'})

  def _allowed(self):
    return self.headers.get('authorization') == 'Bearer right'

  def do_POST(self):
    body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
    if not self._allowed():
      self._send(401, {'error': 'Invalid credentials'})
    elif self.path == '/api/repos/create':
      self.created.append(json.loads(body))
      self._send(200, {'url': f'http://{self.headers["Host"]}/me/film'})
    elif self.path == '/api/validate-yaml':
      self._send(200, {'errors': [], 'warnings': []})
    elif '/preupload/' in self.path:
      files = json.loads(body)['files']
      self._send(200, {'files': [
          {'path': one['path'], 'uploadMode': 'regular', 'shouldIgnore': False}
          for one in files]})
    else:
      name = self.path.split('/api/models/')[1].split('/commit/')[0]
      entries = [json.loads(line) for line in body.splitlines()]
      self.written[name] = [entries[0]['value']['summary']]
      for one in entries[1:]:
        path = os.path.join(self.folders[name], one['value']['path'])
        if one['key'] == 'deletedFile':
          os.remove(path)
          continue
        self.written[name].append(one['value']['path'])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
          file.write(base64.b64decode(one['value']['content']))
      self._send(200, {
          'commitUrl': f'http://{self.headers["Host"]}/me/film/commit/1',
          'commitOid': '1',
          'pullRequestUrl': None, 'hookOutput': ''})

  def _send(self, status, value):
    body = json.dumps(value).encode()
    self.send_response(status)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)


@pytest.fixture
def writable(local_hub, monkeypatch, tmp_path):
  """A hub with the empty repository me/film, and a right token."""
  local_hub.RequestHandlerClass = _Writable
  folder = tmp_path / 'film'
  folder.mkdir()
  monkeypatch.setitem(hub_test._Hub.folders, 'me/film', str(folder))
  monkeypatch.setenv('HF_TOKEN', 'right')
  _Writable.written, _Writable.created = {}, []
  return folder


@pytest.fixture
def adapter(checkpoint):
  return dataclasses.replace(
      bank_test.make('lora[r=2]'), base=aj.load_base(checkpoint).identity,
      labels=('no', 'yes'), task='films', max_length=16, threshold=0.4,
      scores={'dev': {'accuracy': 0.75}}, settings={'learning_rate': 1e-3})


def test_notes_are_said_once(writable, adapter, checkpoint, tmp_path, caplog):
  base = aj.load_base(checkpoint)
  assert aj.export(adapter, tmp_path / 'own') == [] == caplog.messages
  notes = aj.export(adapter, tmp_path / 'hub', 'adapterhub', base=base)
  assert len(notes) == 3 and 'layer_norms.safetensors' in notes[0]
  assert caplog.messages == [f'{tmp_path / "hub"}: {note}' for note in notes]
  assert {one.levelname for one in caplog.records} == {'WARNING'}
  caplog.clear()
  aj.push(adapter, 'me/film', 'adapterhub', base=base)
  assert caplog.messages == [f'me/film: {note}' for note in notes]
  caplog.clear()
  for target in ('', tmp_path / 'again'):
    lines = convert.convert(
        tmp_path / 'own', target, 'adapterhub', checkpoint=checkpoint,
        push='me/film')
    assert lines[1 + bool(target):] == [f'note: {note}' for note in notes]
  assert not caplog.records


@pytest.mark.parametrize('form', ['own', 'adapterhub'])
def test_what_is_pushed_is_loaded(form, writable, adapter, checkpoint):
  base = aj.load_base(checkpoint)
  found = aj.push(adapter, 'me/film', form, base=base, private=True)
  assert found == f'{constants.ENDPOINT}/me/film/commit/1'
  made, = _Writable.created
  assert made['name'] == 'film' and made['organization'] == 'me'
  assert made.get('private') or made.get('visibility') == 'private'
  title, *paths = _Writable.written['me/film']
  assert title == 'lora[r=2] for films' and 'README.md' in paths
  found = aj.load_adapter('me/film', base)
  wanted = aj.predict(base, adapter, ['a good film'])
  again = aj.predict(base, dataclasses.replace(
      found, threshold=adapter.threshold), ['a good film'])
  assert again[0].label == wanted[0].label
  assert again[0].probabilities == pytest.approx(wanted[0].probabilities)


def test_a_push_replaces_earlier_ones(writable, checkpoint):
  """Files of two adapters would be read as one of them, or mixed."""
  base = aj.load_base(checkpoint)
  one, two = (dataclasses.replace(
      bank_test.make('lora[r=2]', seed), base=base.identity, texts=('text',),
      head_input='pooler', labels=labels)
              for seed, labels in ((1, ('no', 'yes')), (2, ())))
  bottleneck = bank_test.make('seq_bn[reduction_factor=4]', 3)
  both = dataclasses.replace(aj.compose(
      {'a[1]': bottleneck, 'b': bottleneck}, aj.Stack('a[1]', 'b')),
                             base=base.identity)
  (writable / 'picture.png').write_text('of the user')
  (writable / 'notes').mkdir()
  (writable / 'notes' / 'adapter_config.json').write_text('of the user')
  for form, pushed, head in (
      ('own', one, True), ('peft', one, True), ('peft', two, False),
      ('adapterhub', both, True), ('sentence_transformers', one, True),
      ('transformers', one, True),
      ('own', two, True)):
    aj.push(pushed, 'me/film', form, base=base, head=head)
    found = {path.relative_to(writable).as_posix()
             for path in writable.rglob('*') if path.is_file()}
    words, *written = _Writable.written['me/film']
    assert found - {'vocab.txt'} == {
        'picture.png', 'notes/adapter_config.json', *written} - {'vocab.txt'}
    if form == 'sentence_transformers':
      assert {'model.safetensors', 'modules.json'} < found
      continue
    if form == 'transformers':
      assert 'model.safetensors' in found and 'modules.json' not in found
      continue
    shutil.rmtree(constants.HF_HUB_CACHE)  # All commits have one name here.
    loaded = aj.load_adapter('me/film', base)
    assert loaded.method == pushed.method and words.startswith(pushed.method)
    assert (loaded.outputs is not None) == head
    if pushed is one:
      assert loaded.labels == one.labels


def test_the_tokenizer_is_that_of_the_base(writable, adapter, checkpoint):
  base = aj.load_base(checkpoint)
  adapter = dataclasses.replace(adapter, head_input='pooler')
  names = hub_checkpoints.TOKENIZER_FILES
  for form, kept in (('own', True), ('peft', True), ('transformers', False),
                     ('sentence_transformers', False)):
    for name in names:
      (writable / name).write_text('of another base')
    aj.push(adapter, 'me/film', form, base=base)
    found = {name: (writable / name).read_text()
             for name in names if (writable / name).exists()}
    with open(os.path.join(checkpoint, 'vocab.txt'), encoding='utf-8') as file:
      own = {'vocab.txt': file.read()}
    assert found == (dict.fromkeys(names, 'of another base') if kept else own)


def test_the_command(writable, adapter, checkpoint, tmp_path):
  adapter.save(str(tmp_path / 'saved'))
  lines = convert.convert(
      tmp_path / 'saved', '', 'adapterhub', checkpoint=checkpoint,
      push='me/film')
  assert lines[0] == f'lora[r=2] -> {constants.ENDPOINT}/me/film/commit/1'
  assert (writable / 'adapter_config.json').exists()
  lines = convert.convert(
      'me/film', tmp_path / 'back', 'own', checkpoint=checkpoint)
  assert lines[0] == f'lora[r=2] -> {tmp_path / "back"}'
  found = aj.load_adapter(str(tmp_path / 'back'))
  base = aj.load_base(checkpoint)
  assert (aj.predict(base, found, ['good'])[0].label
          == aj.predict(base, adapter, ['good'])[0].label)
  for more, message in (
      ({'push': 'film'}, "`push=film`: give 'owner/name'"),
      ({'private': True, 'target': tmp_path / 'x'}, '`private`: is for `push'),
      ({}, '`to`: name the folder')):
    with pytest.raises(aj.UserError, match=message):
      convert.convert(tmp_path / 'saved', **{
          'target': '', 'form': 'own', 'checkpoint': checkpoint, **more})


def test_the_card(adapter):
  text = card.text(dataclasses.replace(
      adapter, base='minilm-l6', task='movie_sentiment'), 'me/film', 'peft')
  import huggingface_hub
  data = huggingface_hub.ModelCard(text).data
  assert data.library_name == 'peft'
  assert data.base_model.endswith('/all-MiniLM-L6-v2')
  assert data.pipeline_tag == 'text-classification'
  result, = data.eval_results
  assert (result.dataset_name, result.dataset_split, result.metric_type,
          result.metric_value) == (
              'movie_sentiment', 'dev', 'accuracy', 0.75)
  for line in ("base = aj.load_base('minilm-l6')", '| method | `lora[r=2]` |',
               '| classes | no, yes |', '| threshold | 0.4 |',
               '| learning rate | 0.001 |', '| dev | accuracy | 0.7500 |'):
    assert line in text.splitlines()
  own = card.text(adapter, 'me/film', 'own')  # Of a folder, which has no name.
  assert "load_base('DIR')" in own and 'base_model' not in own


def test_what_cannot_be_pushed(writable, adapter, monkeypatch):
  for name, form, message in (
      ('film', 'own', "`name=film`: give 'owner/name'"),
      ('me/', 'own', "give 'owner/name'"), ('me/a b', 'own', '`name=me/a b`'),
      ('me/film', 'adapter_bert', 'a file for the authors'),
      ('me/film', 'other', '`format`: unknown')):
    with pytest.raises(aj.UserError, match=message):
      aj.push(adapter, name, form)
  monkeypatch.setenv('HF_TOKEN', 'wrong')
  with pytest.raises(aj.UserError, match='refused the upload: log in with'):
    aj.push(adapter, 'me/film')
  assert not _Writable.written
  monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')
  with pytest.raises(aj.UserError, match='hub cannot be reached'):
    aj.push(adapter, 'me/film')
