import { installMissing } from './install.ts';
import { isExecutable, programPath } from './run.ts';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
/** Where Homebrew's cask and Google's installer put it on a Mac. */
const MAC = ['/Applications/Chromium.app/Contents/MacOS/Chromium', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];

const find = () => NAMES.map((name) => programPath(name)).find((path) => path !== undefined) ?? MAC.find(isExecutable);

/**
 * The browser the tests look at pages with; installed when there is none, as the servers are. Debian's takes some 20 s.
 *
 * @param said  its path, if somebody has one elsewhere
 * @throws Error with the choices where it cannot be installed
 */
export async function ensureChromium(said: string | undefined): Promise<string> {
  if (said !== undefined && said !== '') return said;
  const browser = { name: 'Chromium', packages: { apt: 'chromium', brew: 'chromium' }, hasPrograms: () => find() !== undefined };
  await installMissing([browser], 'set CHROMIUM_PATH to one you have, ');
  return find() ?? '';
}
