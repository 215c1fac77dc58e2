'use strict';
// Texts of users and adapters enter the page as textContent only.

const DELAY = 120;  // Milliseconds without a key before a question.
const EXAMPLES = [
  'A joy from start to end.', 'Two hours of my life that I want back.',
  'Not bad at all, although the plot is thin.', 'It broke after a day.'];

const $ = (id) => document.getElementById(id);
const cards = new Map();  // Name of an adapter: its card.
let about = null;
let timer = 0;
let running = null;  // AbortController of the question under way.

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-') || name === 'role') node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children);
  return node;
}

function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

function points(change) {
  const value = (100 * Math.abs(change)).toFixed(1);
  return (value === '0.0' ? '\u00b1' : change < 0 ? '\u2212' : '+') + value;
}

// The most probable class, or the ones that a threshold gives.
function says(one) {
  for (const name of ['label', 'answer']) {
    if (name in one) return one[name] || '(none)';
  }
  if ('labels' in one) return one.labels.join(', ') || '(none)';
  if ('choice' in one) return choices()[one.choice] || `choice ${one.choice}`;
  if ('score' in one) return `score ${one.score.toFixed(3)}`;
  return '';
}

function choices() {
  return $('second').value.split('\n').map((line) => line.trim())
    .filter(Boolean);
}

function bar(name, share, best, was) {
  const fill = make('div', {className: 'fill'});
  fill.style.width = percent(share).replace('\u00a0', '');
  const track = make('div', {className: 'track', 'aria-hidden': 'true'}, fill);
  const text = make('span', {className: 'share'}, percent(share));
  if (was !== undefined) {
    const mark = make('div', {className: 'was'});
    mark.style.left = `calc(${100 * was}% - 1px)`;
    track.append(mark);
    text.append(make('span', {
      className: 'change', title: 'change from all layers, in points'},
      ` (${points(share - was)})`));
  }
  return make('div', {className: best ? 'bar best' : 'bar'},
    make('span', {className: 'name', title: name}, name), track, text);
}

function effects(answer) {
  const one = answer.prediction;
  const shares = one.probabilities;
  const scored = shares ? Math.max(...Object.values(shares)) : one.score;
  if (!answer.layers || scored === undefined || scored === null) return [];
  const gains = answer.layers.map((without) => scored - without);
  const most = Math.max(...gains.map(Math.abs), 1e-9);
  const list = make('ol', {className: 'columns', start: 0});
  gains.forEach((gain, layer) => {
    const column = make('i', {className: gain < 0 ? 'loss' : 'gain'});
    column.style.height = `${50 * Math.abs(gain) / most}%`;
    const text = shares ? points(gain) : gain.toFixed(3);
    list.append(make('li', {}, make('div', {
      className: 'zero', 'aria-hidden': 'true'}, column), make('b', {}, text),
    make('span', {}, `layer\u00a0${layer}`)));
  });
  const best = shares && Object.keys(shares).reduce(
    (a, b) => (shares[b] > shares[a] ? b : a));
  const named = shares ? `Points that \u201c${best}\u201d owes to`
    : 'Part of the score that comes from';
  return [make('div', {className: 'effects'},
    make('p', {}, `${named} the adapters of each layer`), list)];
}

function result(answer) {
  if (answer.error) {
    return [make('p', {className: 'says error'}, answer.error)];
  }
  const one = answer.prediction;
  const found = [];
  if (one.tags) {
    found.push(make('div', {className: 'tags'}, ...one.words.map(
      (word, n) => make('span', {}, word,
        ...(one.tags[n] === 'O' ? [] : [
          ' ', make('small', {}, one.tags[n])])))));
  } else {
    found.push(make('p', {className: 'says'}, says(one)));
  }
  const shares = Object.entries(one.probabilities || {});
  const most = Math.max(...shares.map(([, share]) => share));
  const whole = answer.whole && answer.whole.probabilities;
  for (const [name, share] of shares) {
    const shown = 'choice' in one ? choices()[name] || name : name;
    found.push(bar(shown, share, share === most, whole && whole[name]));
  }
  if (answer.whole && !whole) {
    const was = answer.whole.tags ? answer.whole.tags.join(' ')
      : says(answer.whole);
    found.push(make('p', {className: 'note'}, `with all layers: ${was}`));
  }
  if (one.truncated) {
    found.push(make('p', {className: 'note'},
      'The text is longer than those of the training, and was cut.'));
  }
  return [...found, ...effects(answer)];
}

function card(adapter) {
  const box = make('input', {
    type: 'checkbox', checked: true, role: 'switch',
    'aria-label': `Adapter ${adapter.name}`});
  const body = make('div', {className: 'result'});
  const count = adapter.parameters.toLocaleString('en');
  const up = make('button', {
    type: 'button', 'aria-label': `Move ${adapter.name} up`}, '\u2191');
  const down = make('button', {
    type: 'button', 'aria-label': `Move ${adapter.name} down`}, '\u2193');
  const node = make('article', {
    className: 'card', 'aria-label': adapter.name},
  make('div', {className: 'top'},
    make('label', {className: 'switch'}, box, make('span')),
    make('div', {}, make('h3', {}, adapter.name), make('p', {
      className: 'method'}, `${adapter.method}, ${count} parameters`)),
    make('div', {className: 'move'}, up, down)), body);
  if (adapter.fixed) {
    node.querySelector('.method').append(make('br'), adapter.fixed);
  }
  node.dataset.name = adapter.name;
  box.addEventListener('change', () => {
    node.classList.toggle('off', !box.checked);
    ask();
  });
  up.addEventListener('click', () => move(node, -1, up));
  down.addEventListener('click', () => move(node, 1, down));
  cards.set(adapter.name, {node, box, body, up, down});
  return node;
}

function move(node, by, button) {
  const other = by < 0 ? node.previousElementSibling : node.nextElementSibling;
  if (!other) return;
  if (by < 0) other.before(node); else other.after(node);
  order();
  if (!button.disabled) button.focus();
  ask();
}

function order() {
  const nodes = [...$('adapters').children];
  nodes.forEach((node, n) => {
    const {up, down} = cards.get(node.dataset.name);
    up.disabled = n === 0;
    down.disabled = n === nodes.length - 1;
  });
}

// Names of the adapters that are switched on, in their order.
function on() {
  return [...$('adapters').children].map((node) => node.dataset.name)
    .filter((name) => cards.get(name).box.checked);
}

function question() {
  const layers = [...$('layers').querySelectorAll('input')];
  const names = on();
  const block = document.querySelector('input[name=block]:checked').value;
  const head = $('head').value;
  const texts = [$('text').value];
  if (!$('second-part').hidden) texts.push($('second').value);
  return {
    texts, adapters: names, block,
    off: layers.flatMap((box, n) => (box.checked ? [] : [n])),
    restore_norms: $('restore').checked, norms: $('norms').value,
    head: names.includes(head) ? head : '', each_layer: $('each').checked};
}

function busy(value) {
  $('answers').setAttribute('aria-busy', String(value));
}

function ask() {
  busy(true);
  clearTimeout(timer);
  timer = setTimeout(send, DELAY);
}

async function send() {
  if (running) running.abort();
  const control = running = new AbortController();
  const asked = question();
  hint(asked);
  const slow = setTimeout(() => {
    $('status').textContent = 'computing; a first setup compiles \u2026';
  }, 400);
  try {
    const response = await fetch('/answer', {
      method: 'POST', signal: control.signal,
      headers: {'Content-Type': 'application/json'},
      body: JSON.stringify(asked)});
    const found = await response.json();
    if (control !== running) return;
    if (!response.ok) throw new Error(found.error);
    show(found);
    busy(false);
  } catch (error) {
    if (error.name === 'AbortError' || control !== running) return;
    $('status').textContent = error instanceof TypeError
      ? 'The demo does not answer; is its command still running?'
      : error.message;
    busy(false);
  } finally {
    clearTimeout(slow);
  }
}

function hint(asked) {
  let text = '';
  if (asked.block && asked.adapters.length < 2) {
    text = 'Switch two adapters on to compose them.';
  } else if (asked.block === 'stack') {
    text = 'At each layer the adapters act from the first to the last.';
  } else if (asked.block === 'average') {
    text = 'At each layer the outputs of the adapters are averaged.';
  }
  $('compose-note').textContent = text;
}

function show(found) {
  for (const answer of found.answers) {
    cards.get(answer.name).body.replaceChildren(...result(answer));
  }
  const part = $('composed');
  part.hidden = !found.composed;
  if (found.composed) {
    const {name, head} = found.composed;
    part.replaceChildren(make('article', {
      className: 'card composed', 'aria-label': 'composed'},
      make('div', {className: 'top'}, make('div', {}, make('h3', {}, name),
        make('p', {className: 'method'}, `with the head of ${head}`))),
      make('div', {className: 'result'}, ...result(found.composed))));
  }
  $('status').textContent =
    `${found.milliseconds.toFixed(0)} ms of processor time`;
}

function prepare() {
  $('base').textContent = `${about.base}, ${about.layers} layers`;
  for (const adapter of about.adapters) {
    $('adapters').append(card(adapter));
    $('head').append(make('option', {value: adapter.name},
      `of ${adapter.name}`));
  }
  order();
  $('compose').hidden = about.adapters.length < 2;
  for (let layer = 0; layer < about.layers; layer++) {
    $('layers').append(make('label', {}, make('input', {
      type: 'checkbox', checked: true, 'aria-label': `Layer ${layer}`}),
    make('span', {'aria-hidden': 'true'}, String(layer))));
  }
  const pairs = about.adapters.filter(
    (one) => one.texts.length > 1 || one.choices);
  $('second-part').hidden = !pairs.length;
  if (pairs.length) {
    const [one] = pairs;
    $('text-label').textContent = `Text (${one.texts[0]})`;
    $('second-label').textContent = one.choices
      ? 'Choices, one a line' : `Second text (${one.texts[1]})`;
  }
  for (const text of pairs.length ? [] : EXAMPLES) {
    const chip = make('button', {type: 'button'}, text);
    chip.addEventListener('click', () => {
      $('text').value = text;
      ask();
    });
    $('examples').append(chip);
  }
}

function listen() {
  for (const id of ['text', 'second']) $(id).addEventListener('input', ask);
  for (const id of ['restore', 'each', 'norms', 'head', 'layers']) {
    $(id).addEventListener('change', ask);
  }
  for (const radio of document.querySelectorAll('input[name=block]')) {
    radio.addEventListener('change', ask);
  }
  for (const [id, value] of [['all-on', true], ['all-off', false]]) {
    $(id).addEventListener('click', () => {
      for (const box of $('layers').querySelectorAll('input')) {
        box.checked = value;
      }
      ask();
    });
  }
}

async function start() {
  try {
    about = await (await fetch('/about')).json();
  } catch (error) {
    $('status').textContent = 'The demo does not answer.';
    return;
  }
  prepare();
  listen();
  send();
}

start();
