/** The RabbitMQ the tests use. */
export function rabbitmqUrl(): string {
  return process.env['RABBITMQ_URL'] ?? '';
}
