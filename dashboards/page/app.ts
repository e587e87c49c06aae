import { Boundary } from './boundary.ts';
import { ChangesPanel } from './changes-panel.ts';
import { Confirm } from './confirm.ts';
import { DeadPanel } from './dead-panel.ts';
import { FleetPanel } from './fleet-panel.ts';
import { HealthPanel } from './health-panel.ts';
import { HistoryPanels } from './history-panel.ts';
import { html } from './html.ts';
import { JobsPanel } from './jobs-panel.ts';
import { KeyFigures } from './key-figures.ts';
import { connection } from './live.ts';
import { LivePanel } from './live-panel.ts';
import { QueuesPanel } from './queues-panel.ts';
import { ReservationsPanel } from './reservations-panel.ts';
import { route } from './route.ts';
import { StoryView } from './story-view.ts';
import { StrategyPanel } from './strategy-panel.ts';
import { TopBar } from './top-bar.ts';
import { WaitingPanel } from './waiting-panel.ts';

/** The whole page: everything at once, or one story. */
export function App() {
  const story = route.value;
  return html`<a class="skip" href="#main">To the content</a>
    <${TopBar} />
    <main id="main" class=${connection.value === 'lost' ? 'stale' : ''}>
      ${story === undefined ? html`<${Overview} />` : html`<${StoryView} key=${`${story.kind}/${story.id}`} kind=${story.kind} id=${story.id} />`}
    </main>
    <${Confirm} />`;
}

function Overview() {
  return html`<h1 class="hidden">Operations</h1>
    <${Boundary}><${KeyFigures} /><//>
    <div class="grid">
      <${Boundary}><${FleetPanel} /><//>
      <div class="stack">${[WaitingPanel, HealthPanel].map(guarded)}</div>
      ${[HistoryPanels, LivePanel, ReservationsPanel, DeadPanel, StrategyPanel, ChangesPanel, JobsPanel, QueuesPanel].map(guarded)}
    </div>`;
}

/** What cannot be shown is missing alone. */
const guarded = (Part: () => unknown) => html`<${Boundary} key=${Part.name}><${Part} /><//>`;
