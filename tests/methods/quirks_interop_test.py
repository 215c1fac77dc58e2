"""Where `adapters` 1.3.0 computes something wrong: its value, and ours.

Setups of several adapters are in `tests/adapters/composing_interop_test.py`.
"""

import dataclasses
import tempfile

from absl.testing import parameterized
import jax
import numpy as np
import pytest

from adapters_jax.adapters import adapter
from adapters_jax.adapters.formats import adapterhub
from adapters_jax.adapters.formats import places
from adapters_jax.adapters import folding
from adapters_jax.adapters import merge_rules
from adapters_jax.adapters import merging
from adapters_jax import errors
from adapters_jax.methods import compacter
from adapters_jax.methods import reft_module
from adapters_jax.methods import strings
from adapters_jax.model import heads
from adapters_jax import trees
from tests.fixtures import make_method_fixtures as fixtures
from tests.adapters.formats import formats_interop_test as interop
from tests.methods import method_cases
from tests.methods import parity_test as parity

torch = pytest.importorskip('torch')
adapters = pytest.importorskip('adapters')

pytestmark = pytest.mark.interop

SHAPE = method_cases.SHAPE


def build(config, name='n', seed=4):
  """Returns the library's model with one random adapter and a linear head."""
  model = fixtures.make_bert(adapters.BertAdapterModel)
  before = {key for key, _ in model.named_parameters()}
  model.add_adapter(name, config=config)
  fixtures.randomize([(key, value) for key, value in model.named_parameters()
                      if key not in before], seed)
  model.add_classification_head(name, num_labels=3, layers=1)
  model.set_active_adapters(name)
  return model.eval()


def value_of(model, part):
  return next(value for key, value in model.named_parameters() if part in key)


class QuirksTest(parameterized.TestCase):

  def saved(self, model, name='n', safe=False):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    model.save_adapter(folder, name, use_safetensors=safe)
    return folder

  def read(self, model):
    return adapterhub.read(self.saved(model), SHAPE)[1]

  def test_compacters_that_crash_there(self):
    with self.assertRaises(UnboundLocalError):
      build('compacter[reduction_factor=4,shared_W_phm=True,'
            'factorized_phm_W=False]')
    with self.assertRaises(AttributeError):
      build("compacter[reduction_factor=4,init_weights='mam_adapter']")
    config, = strings.parse(
        'compacter[reduction_factor=8, shared_W_phm=True, '
        'factorized_phm_W=False, init_weights=mam_adapter]')
    x = np.random.default_rng(0).standard_normal((1, 32), np.float32)
    rule, weight = (np.random.default_rng(seed).standard_normal(
        shape, np.float32) for seed, shape in ((1, (4, 4, 4)), (2, (4, 8, 1))))
    found = compacter.Dense(config, 4, name='down').apply(
        {'params': {'bias': np.zeros(4)}}, x, {'rule': rule, 'down': weight})
    kernel = sum(np.kron(a, w) for a, w in zip(rule, weight))
    np.testing.assert_allclose(found, x @ kernel, atol=1e-5)

  def test_the_init_of_a_compacter(self):
    bound = np.sqrt(6 / (32 / 4 + 4 / 4))  # Glorot's, of a slice.
    model = fixtures.make_bert(adapters.BertAdapterModel)
    model.add_adapter(
        'n', config='compacter[factorized_phm_W=False,reduction_factor=8]')
    self.assertGreater(
        float(value_of(model, 'adapter_down.0.W').abs().max()), bound)
    config, = strings.parse('compacter[factorized_phm_W=False]')
    found = config.weight(_Drawn(), 32, 4)
    self.assertLessEqual(np.abs(found).max(), bound)
    self.assertGreater(np.abs(found).max(), 0.8 * bound)

  def test_a_fixed_rule_stays_fixed(self):
    model = build('compacter[reduction_factor=4,learn_phm=False]')
    self.assertFalse(value_of(model, 'phm_rule').requires_grad)
    model.train_adapter('n')
    self.assertTrue(value_of(model, 'phm_rule').requires_grad)
    rules = [path for path in trees.flatten(self.read(model).tuned)
             if 'rule' in path]
    self.assertEqual({trees.role(path) for path in rules}, {'fixed'})

  def test_glow_is_refused(self):
    model = build("seq_bn[inv_adapter='glow',inv_adapter_reduction_factor=2]")
    with self.assertRaises(RuntimeError):
      interop.logits_there(model)
    with self.assertRaisesRegex(errors.UserError, 'glow.*nice'):
      self.read(model)

  def test_the_scale_of_a_prompt(self):
    config = adapters.PromptTuningConfig()
    self.assertNotIn('random_uniform_scale', config.to_dict())
    with self.assertRaises(TypeError):
      adapters.PromptTuningConfig(random_uniform_scale=0.1)
    self.assertEqual(
        strings.parse('prompt_tuning[random_uniform_scale=0.1]')[0].scale, 0.1)

  def test_a_vera_trains_vectors(self):
    model = build('vera[r=4]')
    model.train_adapter('n')
    inputs = method_cases.batch('')
    model(input_ids=torch.from_numpy(inputs['tokens']).long()
          ).logits.sum().backward()
    slope = value_of(model, 'vera_D').grad
    self.assertGreater(float((slope - slope.diag().diag()).abs().max()), 0)
    shapes = places.leaf_shapes(strings.parse('vera[r=4]'), SHAPE)
    self.assertEqual({leaf.shape for path, leaf in shapes.items()
                      if trees.role(path) == 'adapter'}, {(4,), (32,)})
    shapes = places.leaf_shapes(self.read(model).methods, SHAPE)
    self.assertEqual({leaf.shape for path, leaf in shapes.items()
                      if trees.role(path) == 'adapter'}, {(4, 4), (32, 32)})

  @parameterized.parameters(
      ('ia3', 0.01), ('dora[r=4]', 0.01), ('dora[r=4,alpha=2]', 0.01),
      ('lora[r=4,alpha=2]', 0.0))
  def test_merging_gives_the_same_logits(self, config, wrong):
    model = build(config)
    active = interop.logits_there(model)
    plain = value_of(model, 'layer.0.attention.self.value.weight').clone()
    made = self.read(model)
    model.merge_adapter('n')
    off = np.abs(interop.logits_there(model) - active).max()
    model.reset_adapter()
    left = float((value_of(
        model, 'layer.0.attention.self.value.weight') - plain
        ).detach().abs().max())
    if wrong:
      self.assertGreater(off, wrong)
    else:
      self.assertLess(off, 1e-5)
    if 'dora' in config:
      self.assertGreater(left, wrong)
    folded, replaced = folding.fold_tree(interop.BASE, made)
    inputs = method_cases.batch(interop.FULL)
    found = heads.Classifier(SHAPE, 3).apply(
        {'params': folded}, inputs['tokens'], inputs['segments'],
        inputs['mask'])
    np.testing.assert_allclose(found, active, atol=1e-5, rtol=1e-5)
    back = folding.unfold(folded, replaced)
    back.pop('head')
    jax.tree.map(np.testing.assert_array_equal, back, dict(interop.BASE))

  def test_a_direft_stays_one(self):
    model = build('direft[r=2]')
    active = interop.logits_there(model)
    again = build('seq_bn', 'other')
    again.load_adapter(self.saved(model), set_active=True)
    self.assertGreater(np.abs(interop.logits_there(again) - active).max(), 0.1)
    made = dataclasses.replace(
        self.read(model), methods=strings.parse('direft[r=2]'))
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapterhub.write(folder, 'n', made, interop.BASE, SHAPE)
    np.testing.assert_allclose(
        interop.logits_here(adapterhub.read(folder, SHAPE)[1]), active,
        atol=1e-5, rtol=1e-5)

  def test_weight_decay_leaves_a_loreft(self):
    model = build('loreft[r=2]')
    model.train_adapter('n')
    layer = model.bert.encoder.layer[0].reft_layer.refts['n'].units[0]
    tx = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    layer.projection.weight.sum().backward()
    tx.step()
    self.assertEqual(float(layer.projection.weight.abs().max()), 0)
    with self.assertRaisesRegex(errors.UserError, 'weight decay'):
      self.read(model)
    rows = reft_module.orthonormal(0.9 * np.eye(8, 2, dtype=np.float32))
    np.testing.assert_allclose(rows.T @ rows, np.eye(2), atol=1e-6)

  @parameterized.parameters((-1.0, -1.0, 1.0), (0.5, 0.25, 0.25))
  def test_weights_of_a_lora(self, weight, negated, plain):
    # The factor of the update there, by strategy; here it is the weight.
    model = build('lora[r=4,alpha=8]')
    made = self.read(model)
    place = model.bert.encoder.layer[0].attention.self.query.loras
    delta = place['n'].delta_w.detach().numpy()
    for name, strategy, wanted in (
        ('b', 'lora_linear_only_negate_b', negated), ('p', 'linear', plain)):
      model.average_adapter(name, ['n'], [weight], normalize_weights=False,
                            combine_strategy=strategy)
      np.testing.assert_allclose(
          place[name].delta_w.detach().numpy(), wanted * delta, atol=1e-5)
    merged = merging.merge(
        {'n': made}, ['n'], merge_rules.linear([weight]), interop.BASE)
    found = merged.tuned['encoder']['layer_0']['attention']['adapter_query_0']
    np.testing.assert_allclose(
        merged.methods[0].scale * (found['a'] @ found['b']),
        2 * weight * delta.T, atol=1e-5)  # alpha / r is 2.

  def test_a_merge_of_products_keeps_the_scale(self):
    model = build('lora[r=4,alpha=8]')
    made = self.read(model)
    model.average_adapter(
        'm', ['n'], [1.0], combine_strategy='lora_delta_w_svd', svd_rank=2)
    place = model.bert.encoder.layer[0].attention.self.query.loras
    wanted = 2 * place['n'].delta_w.detach().numpy().T  # alpha / r is 2.
    u, s, v = np.linalg.svd(wanted)
    best = u[:, :2] * s[:2] @ v[:2]
    theirs = place['m'].scaling * place['m'].delta_w.detach().numpy().T
    np.testing.assert_allclose(theirs, 2 * best, atol=1e-4)
    merged = merging.merge_products(
        {'n': adapter.Adapter(made.methods, made.tuned)}, ['n'],
        merge_rules.average(1), interop.BASE, rank=2)
    found = merged.tuned['encoder']['layer_0']['attention']['adapter_query_0']
    np.testing.assert_allclose(
        merged.methods[0].scale * (found['a'] @ found['b']), best, atol=1e-4)

  def test_a_prompt_under_another_name(self):
    model = build('prompt_tuning[prompt_length=4]')
    folder = self.saved(model)
    again = fixtures.make_bert(adapters.BertAdapterModel)
    again.load_adapter(folder, load_as='new')
    wanted = value_of(model, 'prompt_embedding').detach().numpy()
    self.assertGreater(np.abs(
        value_of(again, 'prompt_embedding').detach().numpy() - wanted).max(),
        0.01)
    np.testing.assert_array_equal(
        adapterhub.read(folder, SHAPE)[1].tuned['adapter_embedding_0'][
            'prompt'], wanted)

  @parameterized.parameters('prefix_tuning', 'seq_bn[ln_before=True]')
  def test_shared_tensors_in_safetensors(self, config):
    model = build(config)
    with self.assertRaises(RuntimeError):
      self.saved(model, safe=True)
    folder = self.enter_context(tempfile.TemporaryDirectory())
    adapterhub.write(folder, 'n', self.read(model), interop.BASE, SHAPE)
    np.testing.assert_allclose(
        interop.logits_here(adapterhub.read(folder, SHAPE)[1]),
        interop.logits_there(model), atol=1e-5, rtol=1e-5)

  def test_gates_of_a_padded_text(self):
    model = build('seq_bn[use_gating=True,reduction_factor=8]')
    made = self.read(model)
    padded = method_cases.batch('')
    self.assertFalse(padded['mask'].all())
    short = {key: value[-1:, :padded['mask'][-1].sum()]
             for key, value in padded.items()}

    def there(batch):
      with torch.no_grad():
        return model(
            input_ids=torch.from_numpy(batch['tokens']).long(),
            token_type_ids=torch.from_numpy(batch['segments']).long(),
            attention_mask=torch.from_numpy(batch['mask']).long()
        ).logits.numpy()[-1]

    alone = there(short)
    self.assertGreater(np.abs(there(padded) - alone).max(), 1e-3)
    found = parity.outputs(made.methods, made.tuned, padded)[1][-1]
    np.testing.assert_allclose(found, alone, atol=1e-5, rtol=1e-5)


class _Drawn:
  """Stands for a module: draws a parameter as soon as it is asked for."""

  def param(self, name, init, shape):
    """Returns the initial value."""
    del name
    return init(jax.random.key(0), shape, np.float32)
