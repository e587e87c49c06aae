import type { FastifyInstance } from 'fastify';
import { BOARD_PATH } from './board.ts';

const NOTHING_FOREIGN = "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'";

/** Our own pages: scripts and styles from files of ours only, and no script may turn text into markup (trusted types). */
export const PAGE_POLICY = `${NOTHING_FOREIGN}; style-src 'self'; img-src 'self' data:; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'`;

/** Bull Board's page sets inline styles and asks for a web font, which is refused: nothing is fetched from elsewhere. */
export const BOARD_POLICY = `${NOTHING_FOREIGN}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'`;

/** Says with every answer what a browser may do with it. */
export function sayContentSecurity(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    const onBoard = request.url === BOARD_PATH || request.url.startsWith(`${BOARD_PATH}/`) || request.url.startsWith(`${BOARD_PATH}?`);
    reply.header('content-security-policy', onBoard ? BOARD_POLICY : PAGE_POLICY);
  });
}
