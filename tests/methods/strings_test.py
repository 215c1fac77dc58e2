"""Methods written as text, and the messages about what is wrong in it."""

import dataclasses

from absl.testing import parameterized

from adapters_jax import errors
from adapters_jax import methods
from adapters_jax.methods import bottleneck
from adapters_jax.methods import lora
from adapters_jax.methods import prefix
from adapters_jax.methods import strings
from adapters_jax.runs import config as config_lib
from adapters_jax.runs import models
from adapters_jax.runs import task_checks
from tests.methods import methods_test as common


class StringsTest(parameterized.TestCase):

  def test_fields_and_unions(self):
    configs = strings.parse(
        "par_bn[reduction_factor={'0': 8, 'default': 16}]|"
        'prefix_tuning[flat=True]')
    self.assertEqual(configs, (
        dataclasses.replace(
            bottleneck.PAR_BN, reduction_factor=(('0', 8), ('default', 16))),
        prefix.PrefixTuning(flat=True)))
    self.assertEqual(
        strings.parse('lora[r=4, sites=["query", "key"], leave_out=[0]]'),
        (lora.LoRA(r=4, sites=('query', 'key'), leave_out=(0,)),))
    self.assertEqual(
        strings.parse('seq_bn[non_linearity=gelu]')[0].activation, 'gelu')
    self.assertEqual(
        strings.parse('bottleneck[reduction_factor=2]')[0].width(8, 0), 4)
    self.assertEqual(strings.parse('houlsby[size=3]')[0].width(8, 0), 3)

  @parameterized.parameters(
      ('lora[use_dora=True]', 'dora'),
      ('lora[attn_matrices=["k", "q"]]', 'lora[sites=["query", "key"]]'),
      ("lora[attn_matrices=['v'], output_lora=True]",
       'lora[sites=["value", "ffn_output"]]'),
      ('ia3[selfattn_lora=False, r=1, composition_mode=scale]',
       'ia3[sites=["intermediate"]]'),
      ('vera[init_weights=vera, init_weights_seed=None]', 'vera'),
      ('houlsby[mh_adapter=False]', 'houlsby[sites=["ffn_output"]]'),
      ('seq_bn[mh_adapter=True]', 'seq_bn[sites=["attention_output", '
       '"ffn_output"]]'),
      ('seq_bn_inv[inv_adapter=nice, inv_adapter_reduction_factor=4]',
       'seq_bn|invertible[factor=4]'),
      ('compacter[phm_layer=True, non_linearity=gelu_new]',
       'compacter[activation=gelu_tanh]'),
      ('loreft[layers=all, dtype=None, output_reft=True]', 'loreft'),
      ('mam[encoder_prefix=True, cross_adapter=False]', 'mam'),
      ('prompt_tuning[random_uniform_scale=0.1]', 'prompt_tuning[scale=0.1]'),
  )
  def test_words_of_the_adapters_library(self, theirs, ours):
    self.assertEqual(strings.parse(theirs), strings.parse(ours))

  @parameterized.parameters(
      'it\'s "good" | [bad', "a 'b', c", 'back\\slash"\'', 'a\\')
  def test_any_text_of_a_prompt(self, text):
    config, = strings.parse('prompt_tuning')
    other = lora.LoRA(r=3)
    configs = (config.with_fields(
        prompt_init='from_string', prompt_init_text=text), other)
    self.assertEqual(strings.parse(strings.render(configs)), configs)

  @parameterized.parameters(*methods.CONFIGS)
  def test_rendered_texts_parse_to_the_same(self, name):
    configs = strings.parse(common.TEXTS[name])
    self.assertEqual(strings.parse(strings.render(configs)), configs)
    self.assertEqual(
        strings.parse(strings.render(methods.CONFIGS[name])),
        methods.CONFIGS[name])

  @parameterized.parameters(
      ('huolsby', 'mean houlsby'),
      ('', "'' is not of the form"),
      ('lora|', "'' is not of the form"),
      ('lora[r]', "'r' in lora.*FIELD=VALUE"),
      ('lora[init_weights_seed=3]', 'seed of a run'),
      ('seq_bn[phm_layer=True]', 'compacter and'),
      ('seq_bn[inv_adapter=nice]', 'NAME.invertible'),
      ('ia3[dropout=0.1]', 'no dropout'),
      ('lora[vera_d=0.1]', 'write vera'),
      ('lora[attn_matrices=["o"]]', "attn_matrices: unknown 'o'"),
      ('lora[attn_matrices=3]', 'attn_matrices'),
      ('houlsby[mh_adapter=maybe]', "mh_adapter: unknown 'maybe'"),
      ('houlsby[non_linearity=softsign]', "unknown 'softsign'"),
      ('ia3_inputs[use_gating=True]', 'use_gating'),
      ('prompt_tuning[prompt_init=from_string]', 'give both'),
      ("prompt_tuning[prompt_init_text='a, b']", 'give both'),
      ('DVoRA', "'DVoRA' is not implemented; the closest method is vera"),
      ('vera[use_dora=True]', 'DVoRA is not implemented'),
      ('mtl_lora', "'mtl_lora' is not implemented; the closest .* is lora"),
      ('AdaLoRA', "'AdaLoRA' is not implemented; the closest .* is lora"),
      ('VB-LoRA[r=2]', 'method is vera'), ('prefix-tuning', 'named prefix_'),
      ('vb_lora[r=2]', 'not implemented; the closest method is vera'),
      ('loha|lora', "'loha' is not implemented"), ('LoKr', 'is compacter'),
      ('oft', 'not implemented'), ('boft', 'not implemented'),
      ('LoRA', "'LoRA' is named lora in this"), ('IA3', 'named ia3'),
      ('prefixTuning', 'named prefix_tuning'), ('adapters', 'named houlsby'),
      ('bitfit', 'adds no module; give `tune=bias`'),
      ('lora[layers=[0]]', "no field 'layers'; leave_out names the layers"),
      ('lora[layers_to_transform=[0]]', "no field 'layers_to_transform'; "
       r'leave_out names the layers without .*, as in lora\[leave_out='),
      ('vera[adapter_layers=[0]]', r'leave_out names .*vera\[leave_out='),
      ('par_bn[layers_to_transform=[0]]', r'did you mean layers, as in'),
      ('loreft[width=4]', r'did you mean r, as in loreft\[r=4\]'),
      ('lora[rank=8]', "no field 'rank'; did you mean r, as in lora.r=8.?"),
      ('lora[lora_alpha=8]', 'mean alpha, as in lora.alpha=8.'),
      ('lora[target_modules=["query"]]', 'mean sites'),
      ('houlsby[adapter_size=8]', 'mean size, as in houlsby.size=8.'),
      ('prompt_tuning[num_virtual_tokens=8]', 'mean prompt_length'),
      ('ia3[rank=8]', "field of ia3: unknown 'rank'"),
      ('lora[q=8]', "field of lora: unknown 'q'"),
      ('seq_bn[reduction_facto=8]', 'mean reduction_factor'),
      ('lora[r=eight]', 'give int'),
      ('lora[r=True]', 'give int'),
      ('lora[r=0]', 'r=0: give 1 or more'),
      ('lora[dropout=1.0]', 'dropout=1.0: give a rate from 0 to below 1'),
      ('vera[dropout=-0.1]', 'dropout=-0.1: give a rate'),
      ('vera[r=0]', 'r=0: give 1 or more'),
      ('loreft[r=0]', 'r=0: give 1 or more'),
      ('loreft[prefix_positions=0]', 'or suffix_positions=1 or more'),
      ('loreft[suffix_positions=-1]', 'suffix_positions=-1: give 0 or more'),
      ('prefix_tuning[prefix_length=0]', 'prefix_length=0: give 1 or more'),
      ('prefix_tuning[bottleneck_size=0]', 'bottleneck_size=0: give 1 or more'),
      ('prompt_tuning[prompt_length=0]', 'prompt_length=0: give 1 or more'),
      ('prompt_tuning[scale=-1.0]', 'scale=-1.0: give 0 or more'),
      ('prompt_tuning[prompt_init=from_string]', 'give both prompt_init=from'),
      ('bottleneck[size=0]', 'size=0: give 1 or more'),
      ('bottleneck[init_scale=-1.0]', 'init_scale=-1.0: give a standard dev'),
      ('seq_bn[reduction_factor=0.0]', 'reduction_factor=0.0: give more than'),
      ('adapter_plus[stochastic_depth=1.0]', 'stochastic_depth=1.0: give a ra'),
      ('compacter[phm_dim=0]', 'phm_dim=0: give 1 or more'),
      ('compacter[phm_rank=0]', 'phm_rank=0: give 1 or more'),
      ('invertible[factor=0.0]', 'factor=0.0: give more than 0'),
      ('ia3_inputs[use_gating=True]', 'use_gating=True: give ia3 a gate'),
      ('lora[r=8, r=9]', 'r twice'),
      ('lora[sites=["qeury"]]', 'mean query'),
      ('seq_bn[activation=geluu]', 'mean gelu'),
      ('double_seq_bn[residual_before_ln=post_add]', 'original_ln_before=True'),
      ('par_bn[scaling=learnt]', 'mean learned'),
      ('par_bn[stochastic_depth=0.5]',
       'stochastic_depth=0.5: give 0.0 with is_parallel=True, where it has no'),
      ('par_bn[adapter_residual_before_ln=true]', 'before_ln=True: give False'),
      ('par_bn[original_ln_before=true, residual_before_ln=post_add]',
       'original_ln_before=True: give False'),
      ('bottleneck[is_parallel=true, residual_before_ln=false]',
       'residual_before_ln=False: give True'),
      ('seq_bn[is_parallel=true]', 'original_ln_before=True: give False'),
  )
  def test_what_is_wrong_is_named(self, text, message):
    with self.assertRaisesRegex(errors.UserError, message) as caught:
      strings.parse(text, '`adapter_config`')
    self.assertStartsWith(str(caught.exception), '`adapter_config`')
    self.assertNotIn('\n', str(caught.exception))

  @parameterized.parameters(
      ('par_bn[stochastic_depth=0.1, size=3]', 'par_bn[size=3]'),
      ('seq_bn[is_parallel=True]',
       'seq_bn[is_parallel=True, original_ln_before=False]'),
      ('mam|adapter_plus', 'mam|adapter_plus'))
  def test_saved_texts_lose_fields_without_effect(self, text, wanted):
    self.assertEqual(strings.parse(text, saved=True), strings.parse(wanted))

  @parameterized.parameters(
      ({'adapter_config': 'huolsby'}, 'mean houlsby'),
      ({'adapter_config': 'lora', 'adapter_size': 8}, '`adapter_size'),
      ({'adapter_config': 'lora[leave_out=[6]]'}, 'no layer 6'),
      ({'adapter_config': 'adapter_plus|par_bn'}, 'adapter_plus: .*it last'),
      ({'adapter_config': 'prompt_tuning[combine=words]',
        'max_length': 505}, '502 positions'),
  )
  def test_flags_are_checked_before_anything_is_loaded(self, flags, message):
    with self.assertRaisesRegex(errors.UserError, message):
      task_checks.check_run(config_lib.Config(**flags), 'test')

  def test_the_flag_describes_the_methods(self):
    config = config_lib.Config(adapter_config='mam[prefix_length=3]')
    self.assertEqual(models.adapter_configs(config, 6),
                     strings.parse('mam[prefix_length=3]'))
    self.assertEqual(
        models.adapter_configs(config_lib.Config(), 2),
        (bottleneck.Bottleneck(layers=None),))

  def test_layers_beyond_the_model(self):
    with self.assertRaisesRegex(errors.UserError, 'no layer 2.*2 layers'):
      strings.check_layers(strings.parse('lora[leave_out=[2]]'), 2, '`x`')
    strings.check_layers(strings.parse('bottleneck[layers=[0, 1]]'), 2, '`x`')
    for key in ('2', '0-1', '01', '-1', 'all'):
      with self.assertRaisesRegex(
          errors.UserError, f'`x`: reduction_factor: there is no layer {key}; '
          'the model has 2 layers, numbered 0 to 1'):
        strings.check_layers(strings.parse(
            f"seq_bn[reduction_factor={{'{key}': 2, 'default': 16}}]"), 2,
            '`x`')
    strings.check_layers(strings.parse(
        "seq_bn[reduction_factor={'0': 2, 1: 3, 'default': 16}]"), 2, '`x`')
