import dataclasses
import functools

from absl.testing import parameterized
import jax
import numpy as np
import pytest

from adapters_jax import errors
from adapters_jax.downloads import pinned
from adapters_jax.methods import bottleneck
from adapters_jax.methods import lora
from adapters_jax.model import encoder
from adapters_jax.model import heads
from adapters_jax.model import pretrained
from adapters_jax.model import shapes as shapes_lib
from adapters_jax import trees
from tests.methods import parity
from tests import tiny

# Of a sublayer's adapter, which a serial bottleneck does not read.
SURROUNDINGS = dict(
    residual=None, norm=None, mask=None, shared=None, train=False)

ADAPTED = dataclasses.replace(
    tiny.TWO_LAYERS, adapters=(bottleneck.Bottleneck(3),))


@functools.cache
def params(head_input='cls'):
  return tiny.init(heads.Classifier(ADAPTED, 2, head_input))


def logits(params, batch, config=ADAPTED, head_input='cls'):
  return tiny.apply(
      heads.Classifier(config, 2, head_input), params,
      batch['tokens'], batch['segments'], batch['mask'])


def shapes(config, head_input='cls', outputs=2):
  model = heads.Classifier(config, outputs, head_input)
  return shapes_lib.of(model)


BASE = encoder.BertConfig()
LARGE = encoder.BertConfig(dim=1024, layers=24, heads=16, ffn_dim=4096)


class CountsTest(parameterized.TestCase):
  """Parameter counts against closed forms (Houlsby et al., 2019, 2.1, 3.4)."""

  @parameterized.parameters(
      (BASE, 38_400, {
          1: 55_320, 2: 92_208, 8: 313_536, 64: 2_379_264, 256: 9_461_760,
          512: 18_905_088}),
      (LARGE, 100_352, {
          1: 147_504, 8: 835_968, 64: 6_343_680, 256: 25_227_264,
          512: 50_405_376}))
  def test_adapters(self, config, norm_count, wanted):
    # One model with the adapters of all sizes, one after another: a model of
    # its own for each would be traced for half a minute.
    config = dataclasses.replace(
        config, adapters=tuple(map(bottleneck.Bottleneck, wanted)))
    tree = shapes(config)
    d = config.dim
    for number, (m, count) in enumerate(wanted.items()):
      adapters, _ = trees.split(
          tree, lambda path: f'_output_{number}/' in path)
      self.assertEqual(config.layers * 2 * (2 * m * d + d + m), count)
      self.assertEqual(trees.count(adapters), count)
    adapters, rest = trees.split(
        tree, lambda path: trees.role(path) == 'adapter')
    self.assertEqual(trees.count(adapters), sum(wanted.values()))
    norms, _ = trees.split(rest, lambda path: trees.role(path) == 'norm')
    self.assertEqual(trees.count(norms), norm_count)

  def test_pretrained_base_and_large(self):
    # Without a head, with the pooler: the published 109.5 M and 335 M.
    for config, wanted in ((BASE, 109_482_240), (LARGE, 335_141_888)):
      tree = shapes(config, 'pooler')
      tree.pop('head')
      self.assertEqual(trees.count(tree), wanted)

  def test_minilm_at_64_with_2_classes_trains_605_954(self):
    config = dataclasses.replace(
        pretrained.CHECKPOINTS['minilm-l6'],
        adapters=(bottleneck.Bottleneck(64),))
    tuned, _ = trees.split(
        shapes(config), lambda path: trees.role(path) != 'encoder')
    self.assertEqual(trees.count(tuned), 605_954)


class ModelTest(parameterized.TestCase):

  def test_shape_tree(self):
    found = {path: leaf.shape for path, leaf in
             trees.flatten(shapes(ADAPTED, 'pooler')).items()
             if trees.layer_of(path) in (None, 1)}
    layer = 'encoder/layer_1'
    wanted = {
        'embeddings/norm/bias': (12,), 'embeddings/norm/scale': (12,),
        'embeddings/positions/embedding': (40, 12),
        'embeddings/segments/embedding': (2, 12),
        'embeddings/words/embedding': (17, 12),
        'head/bias': (2,), 'head/kernel': (12, 2),
        'pooler/bias': (12,), 'pooler/kernel': (12, 12),
        **{f'{layer}/attention/{name}/{leaf}': shape
           for name in ('query', 'key', 'value', 'output')
           for leaf, shape in (('bias', (12,)), ('kernel', (12, 12)))},
        **{f'{layer}/{name}_norm/{leaf}': (12,)
           for name in ('attention', 'ffn') for leaf in ('bias', 'scale')},
        **{f'{layer}/adapter_{site}_output_0/{name}/{leaf}': shape
           for site in ('attention', 'ffn')
           for name, leaf, shape in (
               ('down', 'kernel', (12, 3)), ('down', 'bias', (3,)),
               ('up', 'kernel', (3, 12)), ('up', 'bias', (12,)))},
        f'{layer}/ffn_intermediate/bias': (20,),
        f'{layer}/ffn_intermediate/kernel': (12, 20),
        f'{layer}/ffn_output/bias': (12,),
        f'{layer}/ffn_output/kernel': (20, 12),
    }
    self.assertEqual(found, wanted)

  @parameterized.parameters('cls', 'pooler')
  def test_padding_never_changes_logits(self, head_input):
    short = tiny.random_batch(length=5)
    fill = {'tokens': 9, 'segments': 1, 'mask': False}
    wide = {k: np.pad(short[k], ((0, 0), (0, 4)), constant_values=v)
            for k, v in fill.items()}
    np.testing.assert_allclose(
        logits(params(head_input), short, head_input=head_input),
        logits(params(head_input), wide, head_input=head_input), atol=2e-6)

  def test_first_rows_equal_those_of_the_whole_last_layer(self):
    batch = tiny.random_batch()
    tree = {name: params()[name] for name in ('embeddings', 'encoder')}
    model = encoder.Bert(ADAPTED)
    inputs = batch['tokens'], batch['segments'], batch['mask']
    whole = tiny.apply(model, tree, *inputs)
    first = tiny.apply(model, tree, *inputs, rows=1)
    self.assertEqual(first[-1].shape, (4, 1, 12))
    self.assertLen(whole, tiny.TWO_LAYERS.layers + 1)
    np.testing.assert_allclose(first[-1][:, 0], whole[-1][:, 0], atol=2e-6)

  def test_adapters_start_close_to_the_identity(self):
    batch = tiny.random_batch()
    plain = {path: leaf for path, leaf in trees.flatten(params()).items()
             if trees.role(path) != 'adapter'}
    before = logits(trees.unflatten(plain), batch, tiny.TWO_LAYERS)
    after = logits(params(), batch)
    near = np.abs(before - after).max()
    self.assertBetween(near, 1e-9, 1e-4)
    # With a large deviation they do not: the bound above means something.
    large = dataclasses.replace(
        tiny.TWO_LAYERS, adapters=(bottleneck.Bottleneck(3, init_scale=1.0),))
    moved = trees.overlay(
        tiny.init(heads.Classifier(large, 2)), trees.unflatten(plain))
    self.assertGreater(
        np.abs(before - logits(moved, batch, large)).max(), 50 * near)

  def test_a_zero_up_projection_is_no_adapter_at_all(self):
    batch = tiny.random_batch()
    zeroed = trees.map_with_path(
        lambda path, leaf: leaf * ('/up/' not in path), params())
    plain = trees.split(
        params(), lambda path: trees.role(path) != 'adapter')[0]
    np.testing.assert_array_equal(
        logits(zeroed, batch), logits(plain, batch, tiny.TWO_LAYERS))

  def test_sites_and_layers(self):
    method = bottleneck.Bottleneck(3, sites=('ffn_output',), layers=(0, 2))
    tree = shapes(dataclasses.replace(
        tiny.CONFIG, layers=3, adapters=(method,)))
    places = {path.split('/down')[0] for path in trees.flatten(tree)
              if path.endswith('down/kernel')}
    self.assertEqual(places, {f'encoder/layer_{i}/adapter_ffn_output_0'
                              for i in (0, 2)})

  def test_init_is_a_normal_cut_at_two_deviations(self):
    method = bottleneck.Bottleneck(200, init_scale=0.05)
    kernel = method.make('adapter', 0).init(
        jax.random.key(0), np.zeros((2, 5, 300), np.float32), **SURROUNDINGS
    )['params']['down']['kernel']
    self.assertLessEqual(np.abs(kernel).max(), 0.1)
    # A normal cut at two deviations keeps 0.8796 of its deviation.
    self.assertAlmostEqual(float(kernel.std()), 0.05 * 0.8796, delta=3e-4)

  def test_bottleneck_by_hand(self):
    module = bottleneck.Bottleneck(2, activation='relu').make('adapter', 0)
    y = np.array([[[1.0, 2.0, 3.0]]], np.float32)
    tree = {'down': {'kernel': np.array([[1.0, -1], [1, 0], [0, 0]]),
                     'bias': np.array([0.5, 0.5])},
            'up': {'kernel': np.array([[2.0, 0, 1], [5, 5, 5]]),
                   'bias': np.array([0.0, 0.1, 0.0])}}
    # down: (3.5, -0.5), relu: (3.5, 0), up: (7, 0.1, 3.5).
    np.testing.assert_allclose(
        module.apply({'params': tree}, y, **SURROUNDINGS),
        [[[8.0, 2.1, 6.5]]], rtol=1e-6)

  def test_bfloat16_is_close_and_gives_float32_logits(self):
    batch = tiny.random_batch()
    half = dataclasses.replace(ADAPTED, dtype='bfloat16')
    out = logits(params(), batch, half)
    self.assertEqual(out.dtype, np.float32)
    np.testing.assert_allclose(out, logits(params(), batch), atol=0.05)

  @parameterized.parameters(
      (bottleneck.Bottleneck(3, layers=(7,)), 'layers', 7),
      (bottleneck.Bottleneck(3, layers=(-1,)), 'layers', -1),
      (bottleneck.Bottleneck(3, leave_out=(0, 2)), 'leave_out', 2),
      (lora.LoRA(r=2, leave_out=(7,)), 'leave_out', 7))
  def test_layers_that_do_not_exist_are_named(self, method, field, layer):
    config = dataclasses.replace(tiny.TWO_LAYERS, adapters=(method,))
    with self.assertRaisesRegex(
        errors.UserError,
        f'^`adapters`: {type(method).__name__}: {field}: there is no layer '
        f'{layer}; the model has 2 layers, numbered 0 to 1'):
      shapes(config)

  def test_the_input_is_that_of_the_first_layer(self):
    batch = tiny.random_batch()
    hidden = np.zeros((4, 5, tiny.TWO_LAYERS.dim), np.float32)
    above = dataclasses.replace(ADAPTED, first_layer=1)
    for config, given in ((ADAPTED, hidden), (above, None)):
      model = heads.Classifier(config, 2)
      with self.assertRaisesRegex(errors.UserError, '`hidden`: .*alone'):
        model.apply({'params': params()}, batch['tokens'], batch['segments'],
                    batch['mask'], hidden=given)

  def test_gradients_of_word_vectors(self):
    # As `docs/how_it_works.md` says: the vectors as the table of words.
    batch, tree = tiny.random_batch(), params()
    table = tree['embeddings']['words']['embedding']
    size = batch['tokens'].size
    numbers = np.arange(size).reshape(batch['tokens'].shape)

    def score(table, tokens):
      config = dataclasses.replace(ADAPTED, vocab_size=len(table))
      return logits(
          trees.overlay(tree, {'embeddings': {'words': {'embedding': table}}}),
          {**batch, 'tokens': tokens}, config)[:, 1].sum()

    each = jax.grad(score)(table[batch['tokens'].reshape(-1)], numbers)
    whole = jax.grad(score)(table, batch['tokens'])
    summed = np.zeros_like(whole)
    np.add.at(summed, batch['tokens'].reshape(-1), each)
    np.testing.assert_allclose(summed, whole, atol=1e-6)
    self.assertGreater(np.abs(whole).max(), 1e-4)


class ParityTest(parameterized.TestCase):

  def compute(self, name):
    folder = pinned.fetch('minilm-l6')
    if name == 'minilm':
      config = pretrained.read_config(folder)
      base = pretrained.load_base(folder)
    else:
      config = BASE
      base = pretrained.from_hugging_face(parity.base_tensors())
    batch = parity.make_inputs(name, folder)
    tree = {part: base[part] for part in ('embeddings', 'encoder')}
    hidden = jax.jit(encoder.Bert(config).apply)(
        {'params': tree}, batch['tokens'], batch['segments'], batch['mask'])
    pooler = base['pooler']
    pooled = np.tanh(
        np.asarray(hidden[-1][:, 0]) @ pooler['kernel'] + pooler['bias'])
    return batch, [np.asarray(h) for h in hidden], pooled

  def assert_close(self, batch, hidden, pooled, wanted, wanted_pooled):
    self.assertLen(wanted, len(hidden))
    mask = batch['mask']
    for ours, theirs in zip(hidden, wanted):
      np.testing.assert_allclose(ours[mask], theirs[mask], atol=1e-5)
    np.testing.assert_allclose(pooled, wanted_pooled, atol=1e-5)

  @parameterized.parameters(*parity.MODELS)
  def test_hidden_states_equal_those_of_transformers(self, name):
    fixture = np.load('tests/fixtures/bert_hidden.npz')
    batch, hidden, pooled = self.compute(name)
    wanted = [fixture[f'{name}_{i}'] for i in range(len(hidden))]
    self.assert_close(
        batch, [parity.sample(h) for h in hidden], parity.sample(pooled),
        wanted, fixture[f'{name}_pooled'])

  @parameterized.parameters(*parity.MODELS)
  @pytest.mark.interop
  def test_hidden_states_live(self, name):
    batch, hidden, pooled = self.compute(name)
    wanted, wanted_pooled = parity.run_transformers(
        name, pinned.fetch('minilm-l6'), batch)
    self.assert_close(batch, hidden, pooled, wanted, wanted_pooled)
