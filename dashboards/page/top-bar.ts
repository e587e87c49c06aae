import { timeExact } from './format.ts';
import { html } from './html.ts';
import { connection, now, session } from './live.ts';
import { SearchBox } from './search-box.ts';
import { theme, turnTheme } from './theme.ts';

const SAYS = { connecting: 'connecting …', live: 'live', lost: 'connection lost, trying again …' } as const;
const THEMES = { auto: 'Auto', light: 'Light', dark: 'Dark' } as const;

/** The head of the page: whether it is live, the search, who looks. */
export function TopBar() {
  const { username = '', role = 'viewer' } = session.value ?? {};
  return html`<header class="top">
    <a class="brand" href="#/"><span class="mark" aria-hidden="true"></span>Cloud-phone scheduler</a>
    <p class="state ${connection.value}" role="status"><i aria-hidden="true"></i>${SAYS[connection.value]}</p>
    <${SearchBox} />
    <nav aria-label="Dashboard">
      <time class="clock" title="Time of the server">${timeExact(now.value)}</time>
      <a href="/queues">Bull Board</a>
      <button type="button" class="quiet" onClick=${turnTheme} title="Colours: as the system, light, dark">${THEMES[theme.value]}</button>
      <span class="who" title="Logged in">${username}<small>${role === 'operator' ? 'operator' : 'viewer, read-only'}</small></span>
      <form method="post" action="/logout"><button class="quiet" type="submit">Log out</button></form>
    </nav>
  </header>`;
}
