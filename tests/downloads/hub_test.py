"""Tests of adapters_jax.hub against a hub on this machine's loopback."""

import hashlib
import http.server
import inspect
import json
import os
import shutil
import threading
from urllib import parse

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub import file_download
import pytest
from safetensors import numpy as safetensors_numpy

from adapters_jax.data import tokenization
from adapters_jax.downloads import hub
from adapters_jax.downloads import hub_files
from adapters_jax.downloads import network
from adapters_jax.downloads import progress
from adapters_jax import errors
from adapters_jax.model import encoder
from adapters_jax.model import pretrained
from tests import tiny

COMMIT = 'c0ffee' + 34 * '0'


def commit_of(tag):
  return hashlib.sha1(tag.encode()).hexdigest()


class _Hub(http.server.BaseHTTPRequestHandler):
  """Serves /NAME/resolve/REVISION/FILE from folders, as the hub does.

  Attributes:
    folders: {name, or 'name@tag' of another revision than main: folder}.
    refused: Names of gated repositories.
    failing: {path: status} of files that the server fails to give.
    asked: Paths of files that were asked for.
  """
  folders = {}
  refused = ()
  failing = {}
  asked = []

  def do_HEAD(self):
    self._answer(False)

  def do_GET(self):
    self._answer(True)

  def _answer(self, with_body):
    name, _, rest = parse.unquote(self.path).lstrip('/').partition(
        '/resolve/')
    revision, _, path = rest.partition('/')
    if not rest:
      self.send_response(200)
      self.send_header('Content-Length', '0')
      self.end_headers()
      return
    _Hub.asked.append(path)
    folder, commit = self.folders.get(name), COMMIT
    if folder and revision not in ('main', COMMIT):
      folder = None
      for key, value in self.folders.items():
        tag = key.removeprefix(f'{name}@')
        if tag != key and revision in (tag, commit_of(tag)):
          folder, commit = value, commit_of(tag)
    file = os.path.join(folder or '/none', path)
    found = os.path.exists(file)
    if path in self.failing:
      self.send_response(self.failing[path])
      self.send_header('Content-Length', '0')
      self.end_headers()
      return
    if name in self.refused:
      self.send_response(403)
      self.send_header('X-Error-Code', 'GatedRepo')
      self.send_header('Content-Length', '0')
      self.end_headers()
      return
    self.send_response(200 if found else 404)
    body = b''
    if found:
      with open(file, 'rb') as opened:
        body = opened.read()
      self.send_header('X-Repo-Commit', commit)
      self.send_header('ETag', f'"{hashlib.sha1(body).hexdigest()}"')
    else:
      self.send_header('X-Error-Code', 'EntryNotFound' if folder else
                       'RevisionNotFound' if name in self.folders
                       else 'RepoNotFound')
      if folder:
        self.send_header('X-Repo-Commit', commit)
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    if with_body:
      self.wfile.write(body)

  def log_message(self, *_):
    pass


def _write_shards(source, folder):
  """Writes a checkpoint with its weights in two files."""
  shutil.copytree(source, folder, ignore=shutil.ignore_patterns('model.*'))
  tensors = safetensors_numpy.load_file(
      os.path.join(source, 'model.safetensors'))
  shards = {name: f'{i % 2}.safetensors' for i, name in enumerate(tensors)}
  for shard in set(shards.values()):
    safetensors_numpy.save_file(
        {k: v for k, v in tensors.items() if shards[k] == shard},
        os.path.join(folder, shard))
  with open(os.path.join(
      folder, 'model.safetensors.index.json'), 'w') as file:
    json.dump({'weight_map': shards}, file)


@pytest.fixture
def local_hub(tmp_path, monkeypatch):
  """Serves a tiny BERT as 'tiny-bert', one without weights as 'some/one'."""
  good = tiny.write_checkpoint(str(tmp_path / 'good'))
  bare = tiny.write_checkpoint(str(tmp_path / 'bare'))
  os.remove(os.path.join(bare, 'model.safetensors'))
  with open(os.path.join(good, 'pytorch_model.bin'), 'w') as file:
    file.write('not wanted')
  shards = os.path.join(bare, 'sharded')
  _write_shards(good, shards)
  _Hub.folders = {'tiny-bert': good, 'some/one': bare, 'sharded': shards}
  _Hub.asked = []
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), _Hub)
  # Asked to stop every 10 ms: by default a shutdown waits for half a second.
  threading.Thread(
      target=server.serve_forever, args=(0.01,), daemon=True).start()
  url = f'http://127.0.0.1:{server.server_port}'
  for name, value in (
      ('ENDPOINT', url), ('HF_HUB_CACHE', str(tmp_path / 'cache')),
      ('HUGGINGFACE_CO_URL_TEMPLATE',
       url + '/{repo_id}/resolve/{revision}/{filename}')):
    for module in (constants, file_download):  # Releases before 1.0 copy them.
      monkeypatch.setattr(module, name, value, raising=module is constants)
  hub.forget()
  yield server
  server.shutdown()
  server.server_close()
  hub.forget()


def test_config_alone_is_fetched_for_the_shape(local_hub):
  shape = pretrained.config_of('tiny-bert')
  assert shape == tiny.CONFIG
  assert set(_Hub.asked) == {'config.json'}


def test_weights_and_tokenizer_load(local_hub):
  folder = pretrained.resolve('tiny-bert')
  assert os.path.basename(folder) == COMMIT
  assert 'pytorch_model.bin' not in os.listdir(folder)
  tree = pretrained.load_base(folder)
  assert tree['embeddings']['words']['embedding'].shape == (
      tiny.CONFIG.vocab_size, tiny.CONFIG.dim)
  assert tokenization.load(folder).token_to_id('good') == 5
  assert isinstance(pretrained.config_of('tiny-bert'), encoder.BertConfig)


def test_a_revision(local_hub, tmp_path, monkeypatch):
  monkeypatch.setitem(_Hub.folders, 'tiny-bert@v1', tiny.write_checkpoint(
      str(tmp_path / 'v1'), ffn_dim=16))
  commit = commit_of('v1')
  for name in ('tiny-bert@v1', f'tiny-bert@{commit}'):
    assert pretrained.config_of(name).ffn_dim == 16
    folder = pretrained.resolve(name)
    assert os.path.basename(folder) == commit
    pretrained.load_base(folder)  # Checks the shapes.
  assert pretrained.config_of('tiny-bert') == tiny.CONFIG
  with pytest.raises(errors.UserError, match="tiny-bert of .* 'v2'"):
    pretrained.config_of('tiny-bert@v2')
  for name in ('tiny-bert@', '@v1'):
    with pytest.raises(errors.UserError, match='NAME@REVISION'):
      pretrained.config_of(name)
  # Without a network the tag is in the cache too.
  local_hub.shutdown()
  local_hub.server_close()
  hub.forget()
  assert os.path.basename(pretrained.resolve('tiny-bert@v1')) == commit


@pytest.mark.parametrize('problem, words', [
    (OSError(28, 'No space left on device'), 'config.json of tiny-bert could '
     'not be downloaded .*No space left.*run again'),
    (RuntimeError('connection\nlost'), r'\(connection lost\)')])
def test_downloads_that_fail(local_hub, monkeypatch, problem, words):
  def fail(*_):
    raise problem

  monkeypatch.setattr(hub_files, 'download', fail)
  with pytest.raises(errors.UserError, match=words):
    pretrained.config_of('tiny-bert')


def test_a_gated_repository(local_hub, monkeypatch):
  monkeypatch.setattr(_Hub, 'refused', {'tiny-bert'})
  with pytest.raises(errors.UserError, match='gated.*hf auth login'):
    pretrained.config_of('tiny-bert')


@pytest.mark.skipif(
    'tqdm_class' not in inspect.signature(
        huggingface_hub.hf_hub_download).parameters,
    reason='this release of huggingface_hub draws bars of its own')
def test_progress_of_downloads_goes_to_the_log(local_hub, monkeypatch):
  done = []

  class Bar(progress.Bar):

    def close(self):
      done.append((self.n, self.total))
      super().close()

  monkeypatch.setattr(progress, 'Bar', Bar)
  folder = pretrained.resolve('tiny-bert')
  size = os.path.getsize(os.path.join(folder, 'model.safetensors'))
  assert (size, size) in done


def test_no_such_repository(local_hub):
  with pytest.raises(errors.UserError, match="'no/such' is neither"):
    pretrained.config_of('no/such')


@pytest.mark.parametrize('name, text', [
    ('minilm-16', 'did you mean minilm-l6'), ('./nowhere', 'nor a folder')])
def test_wrong_names_need_no_network(name, text, monkeypatch):
  monkeypatch.setattr(network, 'reachable', lambda: False)
  with pytest.raises(errors.UserError, match=text):
    pretrained.config_of(name)
