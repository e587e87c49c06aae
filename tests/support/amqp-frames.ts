/** Frames of AMQP 0-9-1 that a healthy broker cannot be made to send: method frames of class 10 (connection) on channel 0. */

const METHOD_FRAME = 1;
const FRAME_END = 0xce;
const CONNECTION_CLASS = 10;

/** `connection.blocked`. */
export function blockedFrame(reason: string): Buffer {
  return connectionFrame(60, Buffer.concat([Buffer.from([reason.length]), Buffer.from(reason)]));
}

/** `connection.unblocked`. */
export function unblockedFrame(): Buffer {
  return connectionFrame(61, Buffer.alloc(0));
}

function connectionFrame(method: number, fields: Buffer): Buffer {
  const head = Buffer.alloc(11);
  head.writeUInt8(METHOD_FRAME, 0);
  head.writeUInt16BE(0, 1);
  head.writeUInt32BE(4 + fields.length, 3);
  head.writeUInt16BE(CONNECTION_CLASS, 7);
  head.writeUInt16BE(method, 9);
  return Buffer.concat([head, fields, Buffer.from([FRAME_END])]);
}
