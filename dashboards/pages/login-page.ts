import { html, page } from './html.ts';

/**
 * @param next     path to go to after the login
 * @param problem  why the last attempt was refused
 */
export function loginPage({ next, problem }: { next: string; problem?: string }): string {
  return page(
    'Log in · Cloud-phone scheduler',
    html`<main class="login">
<form method="post" action="/login" class="card">
<h1><span class="mark" aria-hidden="true"></span>Cloud-phone scheduler</h1>
<p class="muted">Log in to see the fleet, queues and jobs.</p>
${problem === undefined ? '' : html`<p class="problem" role="alert">${problem}</p>`}
<label>Name<input name="username" autocomplete="username" required autofocus maxlength="200" autocapitalize="none" spellcheck="false"></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required maxlength="1000"></label>
<input type="hidden" name="next" value="${next}">
<button type="submit">Log in</button>
</form>
</main>`,
  );
}
