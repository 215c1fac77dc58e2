"""Wrong calls of the library's face, with parts of their messages."""

import dataclasses

import adapters_jax as aj

# (base, bank) -> raises UserError, and a pattern of its message. The bank has
# the adapters film, food and news.
FAULTS = (
    (lambda base, bank: aj.predict(base, bank['film'], 'A joy.'),
     'give a list of texts'),
    (lambda base, bank: aj.predict(bank['film'], ['A joy.']),
     '`base`: give the base first, as in predict.base, adapter, texts., not '
     'Adapter'),
    (lambda base, bank: aj.predict(bank, ['A joy.']), '`base`: .*not dict'),
    (lambda base, bank: aj.predict(base, ['A joy.']), '`adapter`: .*not list'),
    (lambda base, bank: aj.predict(base, 'adapters/film', ['A joy.']),
     '`adapter`: .*not str; load_adapter'),
    (lambda base, bank: aj.predict(base, {'a': 'film'}, ['A joy.']),
     r"`adapter\['a'\]`: .*not str"),
    (lambda base, bank: aj.predict(base, bank['film']), '`texts`: give a list'),
    (lambda base, bank: aj.predict(base, bank['film'], b'A joy.'),
     'a list of texts'),
    (lambda base, bank: aj.predict(base, bank['film'], {'text': 'A joy.'}),
     '`texts`: give a list, not dict'),
    (lambda base, bank: aj.predict(base, bank['film'], 3), 'not int'),
    (lambda base, bank: aj.predict(base, bank['film'], ['a', None]),
     r'`texts\[1\]`: is missing; leave the row out'),
    (lambda base, bank: aj.encode(base, ['a', None]),
     r'`texts\[1\]`: is missing; leave the row out'),
    (lambda base, bank: aj.predict(base, bank['film'], ['a'], batch_size=0),
     '`batch_size=0`: give an integer of 1'),
    (lambda base, bank: aj.train('minilm-l6', 'rte'), '`base`: .*not str'),
    (lambda base, bank: aj.train(base, ['a', 'b']), '`data`: .*not list'),
    (lambda base, bank: aj.train(base, 'train.tsv'),
     "`data='train.tsv'`: files are .*give .*Examples.texts=..., labels=..."),
    (lambda base, bank: aj.train(
        base, aj.Examples(['a'], ['b']), dev='dev.tsv'),
     "`dev='dev.tsv'`: files are .*give Examples.texts"),
    (lambda base, bank: aj.train(base, aj.Texts(['a']), test=['a']),
     '`test`: give Texts, as for training, not list'),
    (lambda base, bank: aj.train(base, [('a', 'b')]),
     'texts=.text for text, _ in data.'),
    (lambda base, bank: aj.evaluate(base, bank['film'], 'test.tsv'),
     "`data='test.tsv'`: files are .*give Examples.texts"),
    (lambda base, bank: aj.evaluate(
        base, bank['film'], {'text': ['a'], 'label': [1]}),
     r"as in Examples.texts=data\['text'\], labels=data\['label'\]"),
    (lambda base, bank: aj.train(base, 'rte', method=3), '`method`: .*not int'),
    (lambda base, bank: aj.train(base, aj.Examples(['a'], ['b']), dev=['a']),
     '`dev`: give Examples'),
    (lambda base, bank: aj.train(
        base, aj.Examples(['a', 'b'], ['x', 'y']), metric='pearson'),
     '`metric=pearson`: is not for this task; give one of accuracy'),
    (lambda base, bank: aj.predict(base, bank, ['a'] * 5, adapters='film'),
     'give a list of adapters'),
    (lambda base, bank: aj.predict(base, bank, ['a'], adapters=[None]),
     'None is the plain base'),
    (lambda base, bank: aj.predict(base, bank, ['a'] * 5, adapters=['film']),
     'for 5 texts'),
    (lambda base, bank: aj.predict(base, bank, ['a'], adapters=['fild']),
     'mean film'),
    (lambda base, bank: aj.predict(
        base, bank['film'], ['a'], adapters=['film']), 'for a bank'),
    (lambda base, bank: aj.predict(base, bank['film'], [3]), 'as strings'),
    (lambda base, bank: aj.predict(
        base, dataclasses.replace(bank['film'], base='other@0'), ['a']),
     'is not the base'),
    (lambda base, bank: aj.train(base, 'movi_sentiment'), 'movie_sentiment'),
    (lambda base, bank: aj.train(base, 'rte', epoch=3), 'mean epochs'),
    (lambda base, bank: aj.train(base, 'rte', workdir='x'), "'workdir'"),
    (lambda base, bank: aj.train(base, 'rte', hidden_activation='gelu_new'),
     "`hidden_activation`: unknown 'gelu_new'"),
    (lambda base, bank: aj.train(base, 'rte', method='lorra'), 'mean lora'),
    (lambda base, bank: aj.train(
        base, aj.Examples(['a', 'b'], ['x', 'y']), max_length=41),
     'model has 40 positions'),
    (lambda base, bank: aj.train(
        base, 'rte', dev=aj.Examples(['a'], ['b'])), 'brings its own'),
    (lambda base, bank: aj.merge(bank), 'another method'),
    (lambda base, bank: aj.merge({}), 'no adapter to merge'),
    (lambda base, bank: aj.merge({'a': bank['food']}, how='ties'),
     '`base`: how='),
    (lambda base, bank: aj.merge({'a': bank['food']}, how='tie'), 'mean ties'),
    (lambda base, bank: aj.merge(
        {'a': bank['food'], 'b': dataclasses.replace(
            bank['news'], labels=('x', 'y'))}), 'has the classes'),
    (lambda base, bank: aj.export('x', bank['film']),
     '`adapter`: give an Adapter, as in export.adapter, path., not str'),
    (lambda base, bank: aj.export(bank['film'], None), '`path`: .*NoneType'),
    (lambda base, bank: aj.export(bank['film'], 'x', base='minilm-l6'),
     '`base`: .*not str'),
    (lambda base, bank: bank['film'].save(3), '`folder`: .*not int'),
    (lambda base, bank: bank['film'].save(__file__), '`folder=.* no folder'),
    (lambda base, bank: aj.load_adapter(bank['film']), '`path`: .*not Adapter'),
    (lambda base, bank: aj.load_adapter('x', 'minilm-l6'),
     '`base`: .*not str'),
    (lambda base, bank: aj.load_base(None), '`checkpoint`: .*not NoneType'),
    (lambda base, bank: aj.export(bank['film'], 'x', format='pefd'),
     'mean peft'),
    (lambda base, bank: aj.export(bank['food'], 'x', format='peft'),
     '`head_input'),)
