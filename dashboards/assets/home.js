// Keeps the numbers of the overview up to date. A missed answer is shown, not hidden; the next one clears it.
const EVERY_MS = 2_000;
const state = document.getElementById('state');

async function refresh() {
  const response = await fetch('/api/summary', { headers: { accept: 'application/json' } });
  if (response.status === 401) {
    location.href = '/login';
    return;
  }
  if (!response.ok) throw new Error(`answer ${response.status}`);
  const { data } = await response.json();
  for (const queue of data.queues) show(queue);
  say('live', false);
}

function show(queue) {
  const card = document.querySelector(`[data-queue="${CSS.escape(queue.name)}"]`);
  for (const field of card?.querySelectorAll('[data-field]') ?? []) {
    const value = queue[field.dataset.field];
    if (typeof value === 'boolean') field.hidden = !value;
    else {
      field.textContent = value.toLocaleString();
      field.classList.toggle('none', value === 0);
    }
  }
}

function say(text, problem) {
  state.textContent = text;
  state.classList.toggle('problem-text', problem);
}

async function tick() {
  if (!document.hidden) await refresh().catch((error) => say(`not up to date: ${error.message}`, true));
  setTimeout(tick, EVERY_MS);
}

void tick();
