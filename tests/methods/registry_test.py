"""Methods of a program's own: their classes, names and places."""

import dataclasses
import typing

import pytest

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.adapters import adapter
from adapters_jax.methods import base
from adapters_jax.methods import strings
from adapters_jax.runs import start


def define(**members):
  """Returns a method's class, as each run of a notebook's cell does."""

  class Own(base.Method):
    """A method of query."""
    kind: typing.ClassVar[str] = 'linear'
    sites: tuple[str, ...] = ('query',)
    rate: typing.Optional[int] = None  # noqa: UP045

    def make(self, name, layer):
      raise NotImplementedError

  for name, value in members.items():
    setattr(Own, name, value)
  return dataclasses.dataclass(frozen=True)(Own)


@pytest.fixture
def configs(monkeypatch):
  """The registry, without its later changes."""
  monkeypatch.setattr(methods, 'CONFIGS', methods.CONFIGS.copy())
  return methods.CONFIGS


@pytest.mark.parametrize('members, message', [
    ({'kind': ''}, "`kind`: unknown ''; it is one of linear, input, sublayer"),
    ({'kind': 'linears'}, "`kind`: unknown 'linears'; did you mean linear"),
    ({'sites': ('querry',)}, "`sites`: unknown 'querry'; did you mean query"),
    ({'kind': 'layer'}, "`sites`: unknown 'query'; it is one of layer_output"),
    ({'sites': ('layer_output',)},
     "`sites`: unknown 'layer_output'; it is one of query, key, value")])
def test_nothing_would_call_the_module(members, message):
  with pytest.raises(errors.UserError, match=f'^{message}') as found:
    define(**members)()
  assert '\n' not in str(found.value)


@pytest.mark.parametrize('members, message', [
    ({}, "`kind`: unknown ''; it is one of linear, input, sublayer"),
    ({'kind': 'linear', 'sites': 'query'}, "`sites='query'`: give a tuple$")])
def test_attributes_that_are_no_fields(members, message):
  Bare = type('Bare', (base.Method,), {'make': None, **members})
  with pytest.raises(errors.UserError, match=message):
    Bare()


def test_a_wrong_site_in_a_text(configs):
  configs['own'] = (define()(),)
  with pytest.raises(errors.UserError, match="own: sites: unknown 'layer_out"):
    strings.parse('own[sites=["layer_output"]]')


@pytest.mark.parametrize('wanted', [
    list[int], dict[str, int], tuple, set[str], typing.Literal['a', 'b'],
    tuple[int | str, ...], typing.Any])
def test_a_field_that_no_text_expresses(wanted):
  Other = dataclasses.make_dataclass(
      'Other', [('other', wanted, (1,))], bases=(define(),), frozen=True)
  with pytest.raises(errors.UserError, match='^`other`: texts of methods .*tu'):
    Other()


def test_an_optional_field_of_typing(configs):
  Own = define()
  configs['own'] = (Own(),)
  assert strings.parse('own[rate=3]') == (Own(rate=3),)
  with pytest.raises(errors.UserError, match='give int or None$'):
    strings.parse('own[rate=x]')


@pytest.mark.parametrize('name, value, message', [
    ('own', lambda one: one, r'\(Mine\(\),\), not .*Own\('),
    ('own', lambda one: [one], 'give a tuple of methods'),
    ('own', lambda one: (), 'give a tuple of methods'),
    ('own', lambda one: (type(one),), 'give a tuple of methods'),
    ('o wn', lambda one: (one,), r"^methods.CONFIGS\['o wn'\]: .*letters"),
    ('head', lambda one: (one,), '`tune=head` trains weights of the base')])
def test_entries_that_cannot_work(configs, name, value, message):
  with pytest.raises(errors.UserError, match=message):
    configs[name] = value(define()())
  assert name not in configs


def test_a_class_defined_again_has_the_name(configs):
  config = define()(rate=2)
  configs['own'] = (define()(),)
  assert type(configs['own'][0]) is not type(config)
  assert strings.render((config,)) == 'own[rate=2]'
  old = adapter.Adapter((config,), {})
  start.check_method(old, 'own[rate=2]', 1)
  with pytest.raises(errors.UserError, match='has the method own.rate=2.;'):
    start.check_method(old, 'own', 1)


def test_classes_of_one_name_are_not_confused(configs):
  ours, theirs = define()(), define()()
  configs['theirs'], configs['ours_longer'] = (theirs,), (ours,)
  assert strings.render((ours,)) == 'ours_longer'
  with pytest.raises(errors.UserError, match='Own has no name'):
    strings.render((define()(),))


def test_a_method_without_a_name_is_refused_before_its_training(configs):
  configs['both'] = (define()(), define()(sites=('key',)))
  for refused in (lambda: strings.parse('both'),
                  lambda: strings.render(configs['both'])):
    with pytest.raises(
        errors.UserError,
        match=r'^`method.*Own has no name.*methods.CONFIGS\[NAME\] = \(Own'):
      refused()
