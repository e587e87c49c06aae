/** How somebody who has just begun gets into the dashboard; the password itself is not shown. */
export function howToLogIn(user: string, environment: Readonly<Record<string, string | undefined>>): string {
  const set = (environment['DASHBOARD_PASSWORD'] ?? '') !== '';
  return `user ${user}, password: ${set ? 'DASHBOARD_PASSWORD, as you have set it' : 'grep DASHBOARD_PASSWORD .services/env'}`;
}
