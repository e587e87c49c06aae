import { render } from 'preact';
import { App } from './app.ts';
import { read, type Session } from './call.ts';
import { html } from './html.ts';
import { listen, session } from './live.ts';

const root = document.getElementById('app');
if (root !== null) await start(root);

async function start(place: HTMLElement): Promise<void> {
  try {
    session.value = await read<Session>('/api/session');
    place.replaceChildren();
    render(html`<${App} />`, place);
    listen();
  } catch (error) {
    place.textContent = `The page could not be started: ${error instanceof Error ? error.message : String(error)} Reload to try again.`;
  }
}
