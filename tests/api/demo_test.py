"""Tests of the demo's page, by a client in this process."""

import dataclasses
import json
import os
import re
import time

import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.adapters import composing
from adapters_jax.adapters import mixed
from adapters_jax.adapters import prediction
from adapters_jax.adapters import switching
from adapters_jax.api import finished
from adapters_jax.api import listening
from adapters_jax.api.commands import demo
from adapters_jax.model import base as base_lib
from tests.adapters import bank_test

TEXT = 'a good film'


make = bank_test.make_two_layers


@pytest.fixture(scope='module')
def checkpoint(two_layers) -> str:
  """Two layers, as each has a switch."""
  return two_layers


@pytest.fixture(scope='module')
def asked(checkpoint):
  """(client, base, bank) of a demo."""
  testclient = pytest.importorskip('starlette.testclient')
  from adapters_jax.api import bodies
  from adapters_jax.api import demo_answers
  from adapters_jax.api import demo_service
  base = base_lib.load(checkpoint)
  bank = {
      'film': dataclasses.replace(
          make('lora[r=2]'), labels=('<b>bad</b>', 'good')),
      'food': dataclasses.replace(
          make('lora[r=2]', 1), labels=('bad', 'good')),
      'pair': dataclasses.replace(
          make('lora[r=2]', 2), texts=('premise', 'hypothesis'))}
  answers = demo_answers.Answers(base, bank)
  app = demo_service.make(answers, bodies.Limits(max_body=2000, timeout=600))
  with testclient.TestClient(app, base_url='http://127.0.0.1:8000') as client:
    yield client, base, bank


def ask(client, **fields):
  response = client.post('/answer', json={'texts': [TEXT], **fields})
  assert response.status_code == 200, response.text
  return response.json()


def shares(answer, which='prediction'):
  return list(answer[which]['probabilities'].values())


def test_every_adapter_answers(asked):
  client, base, bank = asked
  film, pair = ask(client, adapters=['film', 'pair'])['answers']
  wanted = prediction.predict(base, bank['film'], [TEXT])[0]
  assert film['prediction']['label'] == wanted.label
  assert shares(film) == pytest.approx(
      list(wanted.probabilities.values()), abs=1e-5)
  assert 'premise and hypothesis' in pair['error']
  both = ask(client, texts=[TEXT, 'very dull'], adapters=['pair'])['answers'][0]
  assert shares(both) == pytest.approx(list(prediction.predict(
      base, bank['pair'], [(TEXT, 'very dull')])[0].probabilities.values()),
                                      abs=1e-5)
  about = client.get('/about').json()
  assert about['layers'] == 2 and [
      one['name'] for one in about['adapters']] == list(bank)


def test_layers_are_switched_without_compiling(asked):
  client, base, bank = asked
  question = {'adapters': ['food', 'film'], 'each_layer': True}
  whole = ask(client, **question)['answers']
  assert 'whole' not in whole[0]
  step = mixed.make_step(switching.place(base, bank).on.layouts)
  programs = step._cache_size()
  off = ask(client, off=[1], **question)['answers']
  assert step._cache_size() == programs == 1
  adapter = bank['food']
  removed = dataclasses.replace(adapter, tuned=switching.chosen(
      adapter.tuned, switching.neutral(adapter.tuned, adapter.methods), {1}))
  assert shares(off[0]) == pytest.approx(list(prediction.predict(
      base, removed, [TEXT])[0].probabilities.values()), abs=1e-5)
  assert shares(off[0], 'whole') == pytest.approx(shares(whole[0]), abs=1e-6)
  # Without layer 1 alone, as the page shows beside all layers.
  best = int(np.argmax(shares(whole[0])))
  assert whole[0]['layers'][1] == pytest.approx(shares(off[0])[best], abs=1e-6)
  assert off[0]['layers'][1] == pytest.approx(max(shares(off[0])), abs=1e-6)
  norms = ask(client, off=[1], restore_norms=True, **question)['answers']
  assert shares(norms[0]) != pytest.approx(shares(off[0]), abs=1e-3)


def test_compositions(asked):
  client, base, bank = asked
  found = ask(client, adapters=['food', 'film'], block='stack', norms='first',
              head='food', off=[0])['composed']
  assert found['name'] == 'stack(food, film, norms=first)'
  both = composing.compose(bank, found['name'], head='food')
  removed = dataclasses.replace(both, tuned=switching.chosen(
      both.tuned, switching.neutral(both.tuned, both.methods), {0}))
  for which, adapter in (('whole', both), ('prediction', removed)):
    assert shares(found, which) == pytest.approx(list(prediction.predict(
        base, adapter, [TEXT])[0].probabilities.values()), abs=1e-5)
  refused = ask(client, adapters=['film', 'pair'], block='average')
  assert 'number of texts' in refused['composed']['error']
  assert shares(refused['answers'][0])  # The others answer all the same.
  assert ask(client, adapters=['film'], block='stack')['composed'] is None


def test_choices_are_lines_and_one_is_no_fault_of_others(asked):
  from adapters_jax.api import demo_answers
  _, base, bank = asked
  choosing = make('lora[r=2]', 3)
  choosing.tuned['head'] = jax.tree.map(
      lambda leaf: leaf[..., :1], choosing.tuned['head'])
  choosing = dataclasses.replace(
      choosing, head_input='multiple_choice', texts=('context', 'choices'))
  answers = demo_answers.Answers(base, {**bank, 'chosen': choosing})

  def answer(*texts):
    return answers.answer(demo_answers.Question(
        texts, ('chosen', 'film')))['answers']

  assert all('prediction' in one for one in answer(*demo.FIRST_TEXTS))
  chosen, film = answer(TEXT, 'one line')
  assert 'two choices' in chosen['error'] and 'prediction' in film


@pytest.mark.parametrize(('body', 'status', 'message'), [
    (b'{', 422, 'no JSON'), ([1], 422, 'JSON object'),
    ({'texts': TEXT}, 422, 'texts'), ({'texts': []}, 422, 'one text or two'),
    ({'texts': [3]}, 422, 'list of str'), ({'textz': []}, 422, 'texts'),
    ({'texts': [TEXT], 'adapters': ['flim']}, 422, 'mean film'),
    ({'texts': [TEXT], 'adapters': ['film'] * 2}, 422, 'once'),
    ({'texts': [TEXT], 'off': [2]}, 422, 'from 0 to 1'),
    ({'texts': [TEXT], 'off': [True]}, 422, 'list of int'),
    ({'texts': [TEXT], 'block': 'fuse'}, 422, 'block'),
    ({'texts': [TEXT], 'norms': ''}, 422, 'norms'),
    ({'texts': [TEXT], 'each_layer': 1}, 422, 'bool'),
    ({'texts': ['\ud800'], 'adapters': ['film']}, 422, 'text 0'),
    ({'texts': ['a' * 3000]}, 413, 'longer than 2000')])
def test_bad_questions_are_explained(asked, body, status, message):
  content = body if isinstance(body, bytes) else json.dumps(body)
  response = asked[0].post('/answer', content=content)
  assert response.status_code == status
  assert message in response.json().get('error', '')


def test_the_page_is_whole_and_closed_to_others(asked):
  client = asked[0]
  page = client.get('/')
  assert "script-src 'self'" in page.headers['Content-Security-Policy']
  assert '://' not in page.text  # Nothing comes from another host.
  files = set(re.findall(r'(?:src|href)="(/[^"]*)"', page.text))
  assert files == {'/page.css', '/page.js'}
  script = client.get('/page.js').text
  assert 'innerHTML' not in script and '://' not in script
  # Each id that the script asks for is in the page.
  ids = set(re.findall(r"\$\('([\w-]+)'\)", script))
  assert len(ids) > 10 and ids <= set(re.findall(r'id="([\w-]+)"', page.text))
  assert client.get('/page.css').status_code == 200
  evil = client.get('/about', headers={'Host': 'evil.example'})
  assert evil.status_code == 400
  assert client.get('/about', headers={'Host': '[::1]:80'}).status_code == 200


@pytest.mark.parametrize(('changed', 'message'), [
    ({}, 'train_examples=1000'), ({'adapters': 'none'}, 'no folder none'),
    ({'adapters': 'a=adapter', 'port': 10**6}, '`port=1000000`'),
    ({'adapters': 'a=adapter', 'port': 0, 'host': '192.0.2.1'},
     '`host=192.0.2.1`'),
    ({'adapters': 'a=..'}, 'no saved adapter')])
def test_wrong_settings(changed, message, tmp_path, monkeypatch):
  pytest.importorskip('uvicorn')
  monkeypatch.chdir(tmp_path)
  make().save('adapter')
  with pytest.raises(errors.UserError, match=re.escape(message)):
    demo.main(demo.DemoConfig(**changed))


def test_a_port_in_use():
  with listening.listen('127.0.0.1', 0) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(errors.UserError, match=f'`port={port}`: .*port 0'):
      listening.listen('127.0.0.1', port)


def test_the_newest_adapters_of_runs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert not finished.newest('runs')
  now = time.time()
  for age, (task, name, base) in enumerate((
      ('film', 'new', 'minilm-l6'), ('film', 'old', 'minilm-l6'),
      ('food', 'one', 'minilm-l6'), ('news', 'one', 'mpnet-base'))):
    folder = f'runs/glue/{task}/{name}/adapter'
    dataclasses.replace(make(), task=task, base=base).save(folder)
    os.utime(f'{folder}/tuned.safetensors', times=(now - age, now - age))
  os.makedirs('runs/broken/adapter')
  (tmp_path / 'runs/broken/adapter/tuned.safetensors').write_text('')
  assert finished.newest('runs') == (
      'film=runs/glue/film/new,food=runs/glue/food/one')
