// node bench/references/raw-read.ts PORT REDIS_URL KEY: the least an HTTP server can do to answer from Redis.
import Fastify from 'fastify';
import { Redis } from 'ioredis';

const [port, redisUrl, key] = process.argv.slice(2);
if (port === undefined || redisUrl === undefined || key === undefined) throw new Error('PORT REDIS_URL KEY');
const redis = new Redis(redisUrl, { enableAutoPipelining: true });
const app = Fastify();
app.get('/', async (_request, reply) => {
  const text = await redis.get(key);
  return reply.type('application/json; charset=utf-8').send(text);
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
process.stdout.write('listening\n');
process.once('SIGTERM', () => process.exit(0));
