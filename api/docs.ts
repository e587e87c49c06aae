import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { createJsonSchemaTransform } from 'fastify-type-provider-zod';
import { z } from 'zod';

const DESCRIPTION = `Who gets which device, for how long, at what priority, within which quota, billed to the second.

Every POST and PUT takes an \`Idempotency-Key\` (1..255 characters, remembered for a day): the same key and the same body get the
first outcome again, with \`Idempotency-Replayed: true\`. Every answer carries \`X-Request-ID\`, \`X-RateLimit-Limit\`,
\`X-RateLimit-Remaining\` and \`X-RateLimit-Reset\` (seconds).`;

const transform = createJsonSchemaTransform({});

/** The OpenAPI document, made from the schemas that validate. Register before the routes. */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'cloudphone-scheduler', version: '0.1.0', description: DESCRIPTION },
      components: {
        securitySchemes: {
          user: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'A user token (HS256)' },
          service: { type: 'apiKey', in: 'header', name: 'X-Service-Token', description: 'A token of a listed service (HS256)' },
        },
      },
      security: [{ user: [] }, { service: [] }],
    },
    transform: (document) => {
      const described = transform(document);
      const line = document.route.config?.line;
      return line === undefined ? described : { ...described, schema: { ...described.schema, body: toJsonSchema(line) } };
    },
  });
}

/** A body of lines is not validated as a whole, so it has no schema of its own: the page shows that of one line. */
function toJsonSchema(line: z.ZodType): object {
  const { $schema: _, ...schema } = z.toJSONSchema(line, { io: 'input' });
  return { description: 'One line; the body is any number of them.', ...schema };
}

/** The pages: `/docs` to read and try, `/docs/json` to generate from. Not registered in production. */
export async function serveDocs(app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
}
