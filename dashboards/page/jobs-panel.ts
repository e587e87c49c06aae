import { ActionButton } from './confirm.ts';
import { duration, moment, relative } from './format.ts';
import { html } from './html.ts';
import { now, parts } from './live.ts';
import { Panel } from './panel.ts';
import type { Job } from './wire-data.ts';

/** The scheduled jobs: when they ran, when they run next, and running or pausing them. */
export function JobsPanel() {
  return html`<${Panel} title="Scheduled jobs" id="jobs" part="jobs">
    <div class="scroll"><table>
      <thead><tr><th>Job</th><th class="far">Every</th><th class="num">Last run</th><th class="num far">Took</th><th class="num">Next run</th><th><span class="hidden">Actions</span></th></tr></thead>
      <tbody>${(parts.jobs.value ?? []).map((job) => html`<${Row} key=${job.name} job=${job} />`)}</tbody></table></div>
  <//>`;
}

function Row({ job }: { readonly job: Job }) {
  const { name, recurrence, lastRunAt, nextRunAt, lastDurationMs, lastResult, lastError, paused, running } = job;
  const run = {
    action: 'run-job',
    words: { name },
    title: `Run ${name} now?`,
    text: 'It is handed to the workers, beside its schedule.',
    verb: 'Run',
  };
  const pause = paused
    ? {
        action: 'resume-job',
        words: { name },
        title: `Let ${name} go on?`,
        text: 'What became due meanwhile is made up for.',
        verb: 'Resume',
      }
    : {
        action: 'pause-job',
        words: { name },
        title: `Pause ${name}?`,
        text: 'It does nothing until it is resumed, whatever restarts.',
        verb: 'Pause',
        grave: true,
      };
  return html`<tr>
    <th scope="row">${name}${paused ? html` <span class="tag">paused</span>` : null}${running ? html` <span class="tag good">runs</span>` : null}
      ${lastError === null ? null : html` <span class="tag bad" title=${lastError}>failed</span>`}</th>
    <td class="far">${'everyMs' in recurrence ? duration(recurrence.everyMs) : html`<code title=${recurrence.tz}>${recurrence.cron}</code>`}</td>
    <td class="num" title=${lastRunAt === null ? '' : `${moment(lastRunAt)} ${JSON.stringify(lastResult)}`}>${lastRunAt === null ? 'never' : relative(lastRunAt, now.value)}</td>
    <td class="num far">${lastDurationMs === null ? '–' : duration(lastDurationMs)}</td>
    <td class="num">${nextRunAt === undefined ? '–' : relative(nextRunAt, now.value)}</td>
    <td class="act"><${ActionButton} what=${run} label="Run" /> <${ActionButton} what=${pause} label=${paused ? 'Resume' : 'Pause'} /></td>
  </tr>`;
}
